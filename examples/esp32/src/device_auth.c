#include "device_auth.h"

#include <stdlib.h>
#include <string.h>

#include "device_auth_json.h"
#include "device_auth_proof.h"
#include "device_auth_record.h"
#include "device_auth_text.h"

enum {
  /* After a failure, doubled with every further one. */
  FIRST_BACK_OFF_MS = 2000,
  LONGEST_BACK_OFF_MS = 5 * 60 * 1000,
  /* Where asking sooner changes nothing: in quarantine, with a wrong configuration. */
  FIRST_SLOW_MS = 5 * 60 * 1000,
  LONGEST_SLOW_MS = 60 * 60 * 1000,
  /* Whoever says no wants peace for a while. */
  FIRST_AFTER_DENIAL_MS = 60 * 1000,
  LONGEST_RETRY_AFTER_SECONDS = 60 * 60,
  /* RFC 8628 §3.2 and §3.5. */
  DEFAULT_INTERVAL_SECONDS = 5,
  SLOW_DOWN_SECONDS = 5,
  LONGEST_INTERVAL_SECONDS = 300,
  LONGEST_LIFE_SECONDS = 30 * 24 * 60 * 60,
  /* So often in a row before it is believed: a proof that the network sent twice is told the same, and asked again gets its tokens. */
  BELIEVED_INVALID_GRANTS = 2,
  LOADS_BEFORE_ONE_SLOT_IS_ENOUGH = 5,
  ERROR_SIZE = 64,
  SCRATCH_SIZE = DEVICE_AUTH_RECORD_SIZE,
  TOKEN_TYPE_SIZE = 16
};

/* All the memory that is taken, for as long as one exchange lasts. */
typedef struct {
  device_auth_response response;
  char answer[DEVICE_AUTH_ANSWER_SIZE];
  char form[DEVICE_AUTH_FORM_SIZE];
  char url[DEVICE_AUTH_URI_SIZE + 32];
  /* `Bearer ` and the token on the way out; the token that came on the way in. */
  char authorization[DEVICE_AUTH_ACCESS_TOKEN_SIZE + 8];
  char proof[DEVICE_AUTH_PROOF_SIZE];
  char scratch[SCRATCH_SIZE];
  char error[ERROR_SIZE];
  /* The record as it will be, until it is kept. */
  device_auth_record next;
} exchange;

typedef enum {
  ANSWERED,
  /* The next attempt is planned. */
  FAILED
} outcome;

/* ---- Time ---------------------------------------------------------------------------------------------------------------------- */

static uint64_t now(const device_auth *device) { return device->hooks.monotonic_ms(device->hooks.context); }

/* 0 to `most`. Without a random source the middle: spread is a kindness, nothing rests on it. */
static uint32_t spread(const device_auth *device, uint32_t most) {
  uint32_t number;
  if (device->hooks.random(device->hooks.context, &number, sizeof number) != 0) return most / 2;
  return most == UINT32_MAX ? number : number % (most + 1U);
}

static void plan(device_auth *device, uint64_t delay_ms) { device->next_at = now(device) + delay_ms; }

/* Doubles from `first` to `longest`; the upper half of it is left to chance, so that devices that fail together do not come together. */
static uint32_t back_off(const device_auth *device, unsigned failures, uint32_t first, uint32_t longest) {
  uint32_t delay = first;
  for (; failures > 1 && delay < longest; failures--) delay = delay > longest / 2 ? longest : delay * 2;
  if (delay > longest) delay = longest;
  return delay / 2 + spread(device, delay / 2);
}

static int64_t unix_time(const device_auth *device) {
  if (device->heard_time > 0) return device->heard_time + (int64_t)((now(device) - device->heard_time_at) / 1000U);
  if (device->record.known_time > device->config.built_at) return device->record.known_time;
  /* Any date will do: a server that finds it odd gives a nonce instead (RFC 9449 §8). Zero is taken for none. */
  return device->config.built_at > 0 ? device->config.built_at : 1;
}

static void hear_time(device_auth *device, const char *date) {
  int64_t heard = device_auth_parse_date(date);
  if (heard == 0) return;
  if (device->heard_time == 0 && device->hooks.seed_clock != NULL) device->hooks.seed_clock(device->hooks.context, heard);
  device->heard_time = heard;
  device->heard_time_at = now(device);
}

/* ---- What is shown ------------------------------------------------------------------------------------------------------------- */

/* The number of the record that the code is in; 0 while there is none to show. */
static uint32_t code_on_display(const device_auth *device) {
  return device->record.phase == DEVICE_AUTH_HAS_CODE && now(device) < device->code_dies_at ? device->record.sequence : 0;
}

device_auth_display device_auth_shown(const device_auth *device) {
  uint64_t time = now(device);
  bool has_code = code_on_display(device) != 0;
  device_auth_display display;
  display.state = device->state;
  display.trouble = device->trouble;
  display.reason = device->reason;
  display.user_code = has_code ? device->record.user_code : NULL;
  display.verification_uri = has_code ? device->record.verification_uri : NULL;
  display.verification_uri_complete =
      has_code && device->record.verification_uri_complete[0] != '\0' ? device->record.verification_uri_complete : NULL;
  display.next_in_ms = device->next_at > time ? (uint32_t)(device->next_at - time) : 0;
  return display;
}

static void show(device_auth *device) {
  uint32_t code = code_on_display(device);
  device_auth_display display;
  if (device->has_shown && device->shown_state == device->state && device->shown_trouble == device->trouble &&
      device->shown_reason == device->reason && device->shown_code == code)
    return;
  device->has_shown = true;
  device->shown_state = device->state;
  device->shown_trouble = device->trouble;
  device->shown_reason = device->reason;
  device->shown_code = code;
  if (device->hooks.on_change == NULL) return;
  display = device_auth_shown(device);
  device->hooks.on_change(device->hooks.context, &display);
}

/* ---- Memory -------------------------------------------------------------------------------------------------------------------- */

static exchange *begin_exchange(const device_auth *device) {
  const device_auth_hooks *hooks = &device->hooks;
  exchange *memory = hooks->allocate != NULL ? hooks->allocate(hooks->context, sizeof *memory) : malloc(sizeof *memory);
  if (memory != NULL) memset(memory, 0, sizeof *memory);
  return memory;
}

static void end_exchange(const device_auth *device, exchange *memory) {
  const device_auth_hooks *hooks = &device->hooks;
  device_auth_wipe(memory, sizeof *memory);
  if (hooks->release != NULL) hooks->release(hooks->context, memory, sizeof *memory);
  else free(memory);
}

static outcome fail(device_auth *device, device_auth_trouble trouble) {
  uint32_t delay = back_off(device, ++device->failures, FIRST_BACK_OFF_MS, LONGEST_BACK_OFF_MS);
  uint32_t interval_ms = device->state == DEVICE_AUTH_PAIRING ? device->interval_seconds * 1000U : 0;
  device->trouble = trouble;
  plan(device, delay > interval_ms ? delay : interval_ms);
  return FAILED;
}

/* Keeps `next`; only then is it what the device is. */
static bool keep(device_auth *device, exchange *memory) {
  device_auth_record *next = &memory->next;
  next->belongs_to = device->record.belongs_to;
  if (device->heard_time > 0) next->known_time = unix_time(device);
  if (device_auth_store_record(&device->hooks, (uint8_t *)memory->scratch, next) != 0) return false;
  device->record = *next;
  return true;
}

static void forget_access_token(device_auth *device) { device_auth_wipe(device->access_token, sizeof device->access_token); }

/* ---- Requests ------------------------------------------------------------------------------------------------------------------ */

static bool has_quote(const char *text) { return strchr(text, '"') != NULL || strchr(text, '\\') != NULL; }

static bool is_address(const char *text, bool allow_plain_http) {
  if (!device_auth_is_visible(text) || has_quote(text)) return false;
  return strncmp(text, "https://", 8) == 0 || (allow_plain_http && strncmp(text, "http://", 7) == 0);
}

static void add(device_auth_writer *form, const char *name, const char *value) {
  if (value == NULL) return;
  if (form->length > 0) device_auth_write(form, "&");
  device_auth_write(form, name);
  device_auth_write(form, "=");
  device_auth_write_encoded(form, value);
}

static bool is_proven(const device_auth *device) { return device->record.has_key; }

/* Posts once, with a proof when `proves`. */
static int post(device_auth *device, exchange *memory, device_auth_request *request, bool proves, char *nonce) {
  device_auth_response *response = &memory->response;
  const device_auth_hooks *hooks = &device->hooks;
  device_auth_proof proof;
  memset(response, 0, sizeof *response);
  response->body = memory->answer;
  response->body_capacity = sizeof memory->answer;
  memory->answer[0] = '\0';
  if (proves) {
    proof.key = device->record.key;
    proof.public_key = device->record.public_key;
    proof.url = request->url;
    proof.access_token = request->authorization == NULL ? NULL : device->access_token;
    proof.nonce = nonce;
    proof.issued_at = unix_time(device);
    if (device_auth_write_proof(hooks, &proof, memory->proof, sizeof memory->proof, memory->scratch, sizeof memory->scratch) != 0) return -1;
    request->dpop = memory->proof;
  }
  if (hooks->http_post(hooks->context, request, response) != 0) return -1;
  /* Every answer may bring the next nonce, refusals too (RFC 9449 §8.2). */
  if (device_auth_is_visible(response->dpop_nonce) && !has_quote(response->dpop_nonce))
    memcpy(nonce, response->dpop_nonce, DEVICE_AUTH_NONCE_SIZE);
  hear_time(device, response->date);
  return 0;
}

/* Reads `error` of a refusal; empty when there is none that can be read. */
static void read_error(exchange *memory) {
  const device_auth_response *response = &memory->response;
  device_auth_member wanted = {"error", memory->error, ERROR_SIZE, 0, false};
  memory->error[0] = '\0';
  if (response->status < 400 || response->status > 403 || response->body_too_long) return;
  if (device_auth_read_json(response->body, response->body_length, &wanted, 1) != 0) memory->error[0] = '\0';
}

static bool wants_nonce(exchange *memory, bool at_resource) {
  if (memory->response.dpop_nonce[0] == '\0') return false;
  if (at_resource) return memory->response.status == 401 && strstr(memory->response.authenticate, "\"use_dpop_nonce\"") != NULL;
  read_error(memory);
  return strcmp(memory->error, "use_dpop_nonce") == 0;
}

/* Posts, and once more when the server asks for its nonce. -1 without an answer. */
static int post_with_nonce(device_auth *device, exchange *memory, device_auth_request *request, bool proves) {
  bool at_resource = request->authorization != NULL;
  char *nonce = at_resource ? device->resource_nonce : device->server_nonce;
  if (post(device, memory, request, proves, nonce) != 0) return -1;
  if (proves && wants_nonce(memory, at_resource)) return post(device, memory, request, proves, nonce);
  return 0;
}

/* 429 or 503: not before the server says, and not all at once. */
static void plan_after_busy(device_auth *device, const device_auth_response *response, unsigned failures) {
  int64_t seconds = device_auth_parse_seconds(response->retry_after, LONGEST_RETRY_AFTER_SECONDS);
  uint32_t delay = back_off(device, failures, FIRST_BACK_OFF_MS, LONGEST_BACK_OFF_MS);
  if (seconds >= 0) delay = (uint32_t)seconds * 1000U + spread(device, (uint32_t)seconds * 250U + 1000U);
  device->trouble = DEVICE_AUTH_BUSY;
  plan(device, delay);
}

/* Posts the form to an endpoint of the issuer. ANSWERED: the status is 200, or `error` tells the refusal. */
static outcome ask(device_auth *device, exchange *memory, const char *endpoint, const device_auth_writer *form, bool proves) {
  device_auth_request request = {NULL, "application/x-www-form-urlencoded", NULL, 0, NULL, NULL};
  device_auth_writer url = device_auth_write_to(memory->url, sizeof memory->url);
  const device_auth_response *response = &memory->response;
  int posted;
  device_auth_write(&url, device->config.issuer);
  device_auth_write(&url, endpoint);
  request.url = memory->url;
  request.body = form->text;
  request.body_length = form->length;
  if (form->overflowed || url.overflowed) return fail(device, DEVICE_AUTH_NO_MEMORY);
  posted = post_with_nonce(device, memory, &request, proves);
  device_auth_wipe(memory->form, sizeof memory->form);
  if (posted != 0) return fail(device, DEVICE_AUTH_NO_NETWORK);
  if (response->status == 429 || response->status == 503) {
    plan_after_busy(device, response, ++device->failures);
    return FAILED;
  }
  read_error(memory);
  if (response->status != 200 && memory->error[0] == '\0') return fail(device, DEVICE_AUTH_BAD_ANSWER);
  if (response->body_too_long) return fail(device, DEVICE_AUTH_BAD_ANSWER);
  return ANSWERED;
}

static bool is_same_word(const char *one, const char *other) {
  for (; *one != '\0' && *other != '\0'; one++, other++) {
    char a = *one >= 'A' && *one <= 'Z' ? (char)(*one + 32) : *one;
    char b = *other >= 'A' && *other <= 'Z' ? (char)(*other + 32) : *other;
    if (a != b) return false;
  }
  return *one == *other;
}

/* Posts to the token endpoint. With a status of 200 the access token is in `authorization`, the refresh token, if any, in `next`. */
static outcome ask_for_tokens(device_auth *device, exchange *memory, const device_auth_writer *form, uint32_t *expires_in) {
  char token_type[TOKEN_TYPE_SIZE];
  device_auth_member wanted[] = {{"access_token", memory->authorization, DEVICE_AUTH_ACCESS_TOKEN_SIZE, 0, false},
                                 {"refresh_token", memory->next.refresh_token, DEVICE_AUTH_REFRESH_TOKEN_SIZE, 0, false},
                                 {"token_type", token_type, sizeof token_type, 0, false},
                                 {"expires_in", NULL, 0, 0, false}};
  const device_auth_response *response = &memory->response;
  if (ask(device, memory, "/token", form, is_proven(device)) == FAILED) return FAILED;
  if (response->status != 200) return ANSWERED;
  if (device_auth_read_json(response->body, response->body_length, wanted, sizeof wanted / sizeof *wanted) != 0 ||
      !device_auth_is_visible(memory->authorization) || !wanted[3].is_there || wanted[3].number < 1 ||
      (wanted[1].is_there && !device_auth_is_visible(memory->next.refresh_token)) ||
      !is_same_word(token_type, is_proven(device) ? "DPoP" : "Bearer"))
    return fail(device, DEVICE_AUTH_BAD_ANSWER);
  *expires_in = (uint32_t)(wanted[3].number > LONGEST_LIFE_SECONDS ? LONGEST_LIFE_SECONDS : wanted[3].number);
  return ANSWERED;
}

/* ---- What an answer means ------------------------------------------------------------------------------------------------------ */

static void succeed(device_auth *device, device_auth_state state) {
  device->state = state;
  device->trouble = DEVICE_AUTH_NO_TROUBLE;
  device->failures = 0;
  device->invalid_grants = 0;
}

/* Keeps the refresh token, and only then uses what came with it: without it the server would see a device that went on, and take the
 * next use of the old token for a theft. */
static void take_tokens(device_auth *device, exchange *memory, uint64_t asked_at, uint32_t expires_in) {
  device_auth_record *next = &memory->next;
  uint64_t life_ms = (uint64_t)expires_in * 1000U;
  uint32_t tenth_ms = (uint32_t)(life_ms / 10U);
  bool is_kept = device->record.phase == DEVICE_AUTH_PAIRED && strcmp(device->record.refresh_token, next->refresh_token) == 0;
  next->phase = DEVICE_AUTH_PAIRED;
  device_auth_wipe(next->device_code, sizeof next->device_code);
  if (!is_kept && !keep(device, memory)) {
    (void)fail(device, DEVICE_AUTH_NO_STORAGE);
    return;
  }
  memcpy(device->access_token, memory->authorization, sizeof device->access_token);
  /* From when it was asked for: the answer may have been long on its way. A tenth to a fifth of its life before it ends. */
  device->renew_at = asked_at + life_ms - tenth_ms - spread(device, tenth_ms);
  device->reason = DEVICE_AUTH_NO_REASON;
  device->refusals = 0;
  device->next_at = 0;
  succeed(device, DEVICE_AUTH_READY);
}

static void refuse(device_auth *device) {
  succeed(device, DEVICE_AUTH_REFUSED);
  forget_access_token(device);
  plan(device, back_off(device, ++device->refusals, FIRST_SLOW_MS, LONGEST_SLOW_MS));
}

/* Its code, or its pairing, is worth nothing any more. A dead code is not worth a write: whoever finds it again is told the same. */
static void unpair(device_auth *device, device_auth_reason reason) {
  device->record.phase = DEVICE_AUTH_UNPAIRED;
  device_auth_wipe(device->record.device_code, sizeof device->record.device_code);
  device->reason = reason;
  succeed(device, DEVICE_AUTH_NEEDS_PAIRING);
  if (reason == DEVICE_AUTH_DENIED)
    plan(device, back_off(device, ++device->refusals, FIRST_AFTER_DENIAL_MS, LONGEST_SLOW_MS));
  else plan(device, spread(device, 1000));
}

static bool believes_invalid_grant(device_auth *device) {
  if (++device->invalid_grants >= BELIEVED_INVALID_GRANTS) return true;
  (void)fail(device, DEVICE_AUTH_BAD_ANSWER);
  return false;
}

/* ---- What a step does ---------------------------------------------------------------------------------------------------------- */

static uint32_t seconds_or(const device_auth_member *member, uint32_t usual, uint32_t longest) {
  if (!member->is_there || member->number < 1) return usual;
  return member->number > (int64_t)longest ? longest : (uint32_t)member->number;
}

static bool read_code(exchange *memory) {
  device_auth_record *next = &memory->next;
  device_auth_member wanted[] = {
      {"device_code", next->device_code, sizeof next->device_code, 0, false},
      {"user_code", next->user_code, sizeof next->user_code, 0, false},
      {"verification_uri", next->verification_uri, sizeof next->verification_uri, 0, false},
      {"verification_uri_complete", next->verification_uri_complete, sizeof next->verification_uri_complete, 0, false},
      {"expires_in", NULL, 0, 0, false},
      {"interval", NULL, 0, 0, false}};
  if (device_auth_read_json(memory->response.body, memory->response.body_length, wanted, sizeof wanted / sizeof *wanted) != 0) return false;
  next->expires_in_seconds = seconds_or(&wanted[4], 0, LONGEST_LIFE_SECONDS);
  next->interval_seconds = seconds_or(&wanted[5], DEFAULT_INTERVAL_SECONDS, LONGEST_INTERVAL_SECONDS);
  return device_auth_is_visible(next->device_code) && next->user_code[0] != '\0' && is_address(next->verification_uri, true) &&
         (!wanted[3].is_there || is_address(next->verification_uri_complete, true)) && next->expires_in_seconds > 0;
}

static void show_code(device_auth *device, uint64_t asked_at) {
  device->interval_seconds = device->record.interval_seconds;
  device->code_dies_at = asked_at + (uint64_t)device->record.expires_in_seconds * 1000U;
  succeed(device, DEVICE_AUTH_PAIRING);
  plan(device, (uint64_t)device->interval_seconds * 1000U);
}

static void ask_for_code(device_auth *device, exchange *memory) {
  const device_auth_config *config = &device->config;
  uint64_t asked_at = now(device);
  device_auth_writer form = device_auth_write_to(memory->form, sizeof memory->form);
  device->button_was_pressed = false;
  add(&form, "client_id", config->client_id);
  add(&form, "scope", config->scope);
  add(&form, "resource", config->resource);
  add(&form, "device_name", config->name);
  add(&form, "device_model", config->model);
  add(&form, "device_firmware", config->firmware);
  if (ask(device, memory, "/device_authorization", &form, false) == FAILED) return;
  if (memory->response.status != 200) {
    refuse(device);
    return;
  }
  memory->next = device->record;
  memory->next.phase = DEVICE_AUTH_HAS_CODE;
  device_auth_wipe(memory->next.refresh_token, sizeof memory->next.refresh_token);
  if (!read_code(memory)) {
    (void)fail(device, DEVICE_AUTH_BAD_ANSWER);
    return;
  }
  /* The key is kept with the code: the answer to a poll is bound to it, and may have to be fetched again after a power loss. */
  if (config->dpop && !memory->next.has_key &&
      device_auth_new_key(&device->hooks, memory->next.key, memory->next.public_key) != 0) {
    (void)fail(device, DEVICE_AUTH_NO_MEMORY);
    return;
  }
  memory->next.has_key = config->dpop;
  if (!keep(device, memory)) {
    (void)fail(device, DEVICE_AUTH_NO_STORAGE);
    return;
  }
  device->reason = DEVICE_AUTH_NO_REASON;
  show_code(device, asked_at);
}

static void poll_for_tokens(device_auth *device, exchange *memory) {
  uint64_t asked_at = now(device);
  uint32_t expires_in = 0;
  const char *error = memory->error;
  device_auth_writer form = device_auth_write_to(memory->form, sizeof memory->form);
  add(&form, "grant_type", "urn:ietf:params:oauth:grant-type:device_code");
  add(&form, "client_id", device->config.client_id);
  add(&form, "device_code", device->record.device_code);
  memory->next = device->record;
  if (ask_for_tokens(device, memory, &form, &expires_in) == FAILED) return;
  if (memory->response.status == 200) {
    /* Without offline_access there is nothing that outlives a quarter of an hour. */
    if (memory->next.refresh_token[0] == '\0') {
      unpair(device, DEVICE_AUTH_NO_REASON);
      refuse(device);
      return;
    }
    take_tokens(device, memory, asked_at, expires_in);
    return;
  }
  if (strcmp(error, "authorization_pending") == 0 || strcmp(error, "slow_down") == 0) {
    if (error[0] == 's' && device->interval_seconds < LONGEST_INTERVAL_SECONDS) device->interval_seconds += SLOW_DOWN_SECONDS;
    succeed(device, DEVICE_AUTH_PAIRING);
    plan(device, (uint64_t)device->interval_seconds * 1000U);
    return;
  }
  if (strcmp(error, "access_denied") == 0) unpair(device, DEVICE_AUTH_DENIED);
  else if (strcmp(error, "expired_token") == 0) unpair(device, DEVICE_AUTH_CODE_EXPIRED);
  else if (strcmp(error, "invalid_grant") != 0) refuse(device);
  else if (believes_invalid_grant(device)) unpair(device, DEVICE_AUTH_CODE_EXPIRED);
}

static void forget_pairing(device_auth *device, exchange *memory) {
  unpair(device, DEVICE_AUTH_REVOKED);
  device_auth_wipe(device->record.refresh_token, sizeof device->record.refresh_token);
  /* Whoever pairs it next is another owner, perhaps: with another key. */
  device_auth_wipe(device->record.key, sizeof device->record.key);
  device->record.has_key = false;
  memory->next = device->record;
  /* If that fails, the next start hears it again. */
  (void)keep(device, memory);
}

static void renew(device_auth *device, exchange *memory) {
  uint64_t asked_at = now(device);
  uint32_t expires_in = 0;
  device_auth_writer form = device_auth_write_to(memory->form, sizeof memory->form);
  forget_access_token(device);
  if (device->state == DEVICE_AUTH_READY) device->state = DEVICE_AUTH_RENEWING;
  add(&form, "grant_type", "refresh_token");
  add(&form, "client_id", device->config.client_id);
  add(&form, "refresh_token", device->record.refresh_token);
  memory->next = device->record;
  if (ask_for_tokens(device, memory, &form, &expires_in) == FAILED) return;
  if (memory->response.status == 200) {
    /* None came: the one we have goes on. */
    if (memory->next.refresh_token[0] == '\0')
      memcpy(memory->next.refresh_token, device->record.refresh_token, sizeof memory->next.refresh_token);
    take_tokens(device, memory, asked_at, expires_in);
    return;
  }
  if (strcmp(memory->error, "access_denied") == 0) {
    succeed(device, DEVICE_AUTH_QUARANTINED);
    plan(device, back_off(device, ++device->refusals, FIRST_SLOW_MS, LONGEST_SLOW_MS));
    return;
  }
  if (strcmp(memory->error, "invalid_grant") != 0) refuse(device);
  else if (believes_invalid_grant(device)) forget_pairing(device, memory);
}

static void go_on_from_record(device_auth *device) {
  switch (device->record.phase) {
    case DEVICE_AUTH_PAIRED:
      device->state = DEVICE_AUTH_RENEWING;
      plan(device, spread(device, device->config.start_spread_ms));
      return;
    case DEVICE_AUTH_HAS_CODE:
      /* How long it was without power nobody knows: the server tells when the code is dead. */
      show_code(device, now(device));
      return;
    case DEVICE_AUTH_UNPAIRED:
      device->state = DEVICE_AUTH_NEEDS_PAIRING;
      plan(device, spread(device, device->config.start_spread_ms));
      return;
  }
}

static void start(device_auth *device, exchange *memory) {
  const device_auth_config *config = &device->config;
  uint32_t owner = device_auth_crc32(0, config->issuer, strlen(config->issuer) + 1);
  bool settles = device->failed_loads >= LOADS_BEFORE_ONE_SLOT_IS_ENOUGH;
  int64_t time;
  owner = device_auth_crc32(owner, config->client_id, strlen(config->client_id));
  if (device_auth_load_record(&device->hooks, settles, (uint8_t *)memory->scratch, &device->record) == DEVICE_AUTH_UNREADABLE) {
    device->failed_loads += 1;
    (void)fail(device, DEVICE_AUTH_NO_STORAGE);
    return;
  }
  if (device->record.belongs_to != owner) {
    device->record.phase = DEVICE_AUTH_UNPAIRED;
    device->record.has_key = false;
    device->record.belongs_to = owner;
  }
  time = unix_time(device);
  if (time > 1 && device->hooks.seed_clock != NULL) device->hooks.seed_clock(device->hooks.context, time);
  device->trouble = DEVICE_AUTH_NO_TROUBLE;
  device->failures = 0;
  go_on_from_record(device);
}

static void act(device_auth *device, exchange *memory) {
  switch (device->state) {
    case DEVICE_AUTH_STARTING: start(device, memory); return;
    case DEVICE_AUTH_NEEDS_PAIRING: ask_for_code(device, memory); return;
    case DEVICE_AUTH_PAIRING: poll_for_tokens(device, memory); return;
    case DEVICE_AUTH_RENEWING:
    case DEVICE_AUTH_QUARANTINED: renew(device, memory); return;
    case DEVICE_AUTH_REFUSED:
      if (device->record.phase == DEVICE_AUTH_PAIRED) renew(device, memory);
      else if (device->record.phase == DEVICE_AUTH_HAS_CODE) poll_for_tokens(device, memory);
      else ask_for_code(device, memory);
      return;
    case DEVICE_AUTH_READY: return;
  }
}

/* ---- The door ------------------------------------------------------------------------------------------------------------------ */

static bool fits(const char *text, size_t most) { return text == NULL || strlen(text) <= most; }

int device_auth_init(device_auth *device, const device_auth_config *config, const device_auth_hooks *hooks) {
  memset(device, 0, sizeof *device);
  if (hooks->http_post == NULL || hooks->kv_get == NULL || hooks->kv_set == NULL || hooks->sleep_ms == NULL || hooks->random == NULL ||
      hooks->monotonic_ms == NULL)
    return -1;
  if (config->issuer == NULL || config->client_id == NULL || config->scope == NULL) return -1;
  if (!is_address(config->issuer, config->allow_plain_http) || !fits(config->issuer, DEVICE_AUTH_URI_SIZE - 1) ||
      config->issuer[strlen(config->issuer) - 1] == '/' || !device_auth_is_visible(config->client_id) ||
      !fits(config->client_id, 100) || !fits(config->scope, 200) || !fits(config->resource, 200) || !fits(config->name, 60) ||
      !fits(config->model, 60) || !fits(config->firmware, 60))
    return -1;
  device->config = *config;
  device->hooks = *hooks;
  return 0;
}

/* Whether it is time. Sleeps until it is, or for as long as one step may. */
static bool wait_until_due(device_auth *device) {
  uint64_t time = now(device);
  uint32_t most = device->config.longest_wait_ms;
  while (time < device->next_at) {
    uint64_t left = device->next_at - time;
    bool is_whole = most == 0 || left <= most;
    device->hooks.sleep_ms(device->hooks.context, is_whole ? (uint32_t)left : most);
    if (!is_whole) return false;
    time = now(device);
  }
  return true;
}

device_auth_state device_auth_step(device_auth *device) {
  exchange *memory;
  if (device->state == DEVICE_AUTH_NEEDS_PAIRING && device->button_was_pressed) device->next_at = 0;
  else if (device->state == DEVICE_AUTH_NEEDS_PAIRING && device->config.pairs_on_button) return device->state;
  if (!wait_until_due(device) || device->state == DEVICE_AUTH_READY) {
    show(device);
    return device->state;
  }
  memory = begin_exchange(device);
  if (memory == NULL) {
    (void)fail(device, DEVICE_AUTH_NO_MEMORY);
  } else {
    act(device, memory);
    end_exchange(device, memory);
  }
  show(device);
  return device->state;
}

static int send_once(device_auth *device, exchange *memory, const device_auth_request *wished) {
  device_auth_request request = *wished;
  device_auth_writer authorization = device_auth_write_to(memory->authorization, sizeof memory->authorization);
  device_auth_write(&authorization, is_proven(device) ? "DPoP " : "Bearer ");
  device_auth_write(&authorization, device->access_token);
  request.authorization = memory->authorization;
  return authorization.overflowed ? -1 : post_with_nonce(device, memory, &request, is_proven(device));
}

static device_auth_sent try_later(device_auth *device, device_auth_trouble trouble) {
  device->trouble = trouble;
  plan(device, back_off(device, ++device->send_failures, FIRST_BACK_OFF_MS, LONGEST_BACK_OFF_MS));
  return DEVICE_AUTH_TRY_LATER;
}

static device_auth_sent send_and_renew(device_auth *device, exchange *memory, const device_auth_request *request) {
  const device_auth_response *response = &memory->response;
  bool is_fresh = false;
  for (;;) {
    if (device->access_token[0] == '\0' || now(device) >= device->renew_at) {
      renew(device, memory);
      is_fresh = true;
    }
    if (device->state != DEVICE_AUTH_READY) return DEVICE_AUTH_NOT_READY;
    if (send_once(device, memory, request) != 0) return try_later(device, DEVICE_AUTH_NO_NETWORK);
    if (response->status == 429 || response->status == 503) {
      plan_after_busy(device, response, ++device->send_failures);
      return DEVICE_AUTH_TRY_LATER;
    }
    if (response->status != 401) break;
    forget_access_token(device);
    /* A fresh one that is refused as well is not cured by another one, and every renewal is a write. */
    if (is_fresh) return try_later(device, DEVICE_AUTH_BAD_ANSWER);
  }
  device->send_failures = 0;
  device->trouble = DEVICE_AUTH_NO_TROUBLE;
  return DEVICE_AUTH_SENT;
}

device_auth_sent device_auth_send(device_auth *device, const char *url, const char *content_type, const char *body, int *status,
                                  char *answer, size_t answer_capacity) {
  device_auth_request request = {url, content_type, body, strlen(body), NULL, NULL};
  device_auth_sent sent;
  exchange *memory;
  *status = 0;
  if (answer != NULL) answer[0] = '\0';
  if (device->state != DEVICE_AUTH_READY || !is_address(url, device->config.allow_plain_http)) return DEVICE_AUTH_NOT_READY;
  if (now(device) < device->next_at) return DEVICE_AUTH_TRY_LATER;
  memory = begin_exchange(device);
  if (memory == NULL) return try_later(device, DEVICE_AUTH_NO_MEMORY);
  sent = send_and_renew(device, memory, &request);
  if (sent == DEVICE_AUTH_SENT) {
    size_t length = memory->response.body_length;
    *status = memory->response.status;
    if (answer != NULL) (void)device_auth_copy(answer, answer_capacity, memory->answer, length < answer_capacity ? length : answer_capacity - 1);
  }
  end_exchange(device, memory);
  show(device);
  return sent;
}

void device_auth_press_button(device_auth *device) { device->button_was_pressed = true; }

int device_auth_forget(device_auth *device) {
  exchange *memory = begin_exchange(device);
  int kept = 0;
  int slot;
  if (memory == NULL) return -1;
  memory->next.sequence = device->record.sequence;
  memory->next.phase = DEVICE_AUTH_UNPAIRED;
  for (slot = 0; slot < 2 && kept == 0; slot++) kept = keep(device, memory) ? 0 : -1;
  end_exchange(device, memory);
  if (kept != 0) return -1;
  forget_access_token(device);
  device->reason = DEVICE_AUTH_NO_REASON;
  device->refusals = 0;
  device->next_at = 0;
  succeed(device, DEVICE_AUTH_NEEDS_PAIRING);
  show(device);
  return 0;
}

/* ---- For layers ---------------------------------------------------------------------------------------------------------------- */

void device_auth_take_header(device_auth_response *response, const char *name, size_t name_length, const char *value,
                             size_t value_length) {
  struct {
    const char *name;
    char *text;
    size_t capacity;
  } wanted[] = {{"DPoP-Nonce", response->dpop_nonce, sizeof response->dpop_nonce},
                {"Retry-After", response->retry_after, sizeof response->retry_after},
                {"Date", response->date, sizeof response->date},
                {"WWW-Authenticate", response->authenticate, sizeof response->authenticate}};
  char lower[20];
  size_t index;
  while (value_length > 0 && (value[value_length - 1] == '\r' || value[value_length - 1] == '\n' || value[value_length - 1] == ' '))
    value_length--;
  while (value_length > 0 && *value == ' ') {
    value++;
    value_length--;
  }
  if (!device_auth_copy(lower, sizeof lower, name, name_length)) return;
  for (index = 0; index < sizeof wanted / sizeof *wanted; index++)
    if (is_same_word(lower, wanted[index].name)) (void)device_auth_copy(wanted[index].text, wanted[index].capacity, value, value_length);
}

void device_auth_take_body(device_auth_response *response, const char *bytes, size_t length) {
  size_t room = response->body_capacity - 1 - response->body_length;
  if (length > room) {
    response->body_too_long = true;
    length = room;
  }
  memcpy(response->body + response->body_length, bytes, length);
  response->body_length += length;
  response->body[response->body_length] = '\0';
}

const char *device_auth_state_name(device_auth_state state) {
  static const char *const names[] = {"starting", "needs_pairing", "pairing", "renewing", "ready", "quarantined", "refused"};
  return names[state];
}

const char *device_auth_trouble_name(device_auth_trouble trouble) {
  static const char *const names[] = {"none", "no_network", "busy", "bad_answer", "no_storage", "no_memory"};
  return names[trouble];
}

const char *device_auth_reason_name(device_auth_reason reason) {
  static const char *const names[] = {"none", "denied", "code_expired", "revoked"};
  return names[reason];
}
