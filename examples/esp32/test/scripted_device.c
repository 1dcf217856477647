/*
 * A device whose time, power and button are in the hands of a test: one line for what it does, one line back for what happens to it.
 *
 *   says                                     hears
 *   shows <state> <trouble> <reason> <code|-> <uri|-> <complete|->
 *   sleeps <ms>                              go | button (pressed meanwhile) | unplug
 *   ready | idle                             send <url> | ask <url> | pass <ms> | button | forget | break_storage | mend_storage | unplug
 *   sent <outcome> <status>
 *   lost <point> <where>                     (its power, at the point it was started with; exit code 42)
 *   used <heap now> <heap at most> <points>  (at its end)
 *
 * Its clock is what was slept and passed, so no test waits. Every write and every exchange has points where power can fail.
 */
#define _POSIX_C_SOURCE 200809L

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hal_posix.h"

/* Of AddressSanitizer (its allocator_interface.h, which gcc does not install). */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t), void (*on_free)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *memory);

typedef struct {
  device_auth_hooks layer;
  device_auth *device;
  uint64_t time_ms;
  /* 0: never. */
  unsigned fails_at;
  unsigned points;
  bool writes_fail;
} script;

/* Of the core and what it calls in mbedTLS; what happens below the hooks is that of the layer. */
static size_t heap_now = 0;
static size_t heap_most = 0;
static bool is_below_hooks = true;

static void on_malloc(const volatile void *memory, size_t size) {
  (void)memory;
  if (is_below_hooks) return;
  heap_now += size;
  if (heap_now > heap_most) heap_most = heap_now;
}

static void on_free(const volatile void *memory) {
  if (is_below_hooks || memory == NULL) return;
  heap_now -= __sanitizer_get_allocated_size(memory);
}

static void point(script *run, const char *where) {
  run->points += 1;
  if (run->points != run->fails_at) return;
  printf("lost %u %s\n", run->points, where);
  fflush(stdout);
  _exit(42);
}

static bool hear(char *line, size_t size) {
  fflush(stdout);
  if (fgets(line, (int)size, stdin) == NULL) return false;
  line[strcspn(line, "\n")] = '\0';
  return true;
}

static int http_post(void *context, const device_auth_request *request, device_auth_response *response) {
  script *run = context;
  int done;
  is_below_hooks = true;
  point(run, "before a request");
  done = run->layer.http_post(run->layer.context, request, response);
  point(run, "after an answer");
  is_below_hooks = false;
  return done;
}

static int kv_get(void *context, const char *key, void *value, size_t capacity) {
  script *run = context;
  int length;
  is_below_hooks = true;
  length = run->layer.kv_get(run->layer.context, key, value, capacity);
  is_below_hooks = false;
  return length;
}

static int kv_set(void *context, const char *key, const void *value, size_t length) {
  script *run = context;
  int done = -1;
  is_below_hooks = true;
  point(run, "before a write");
  /* In the middle of it: half of the bytes are there. */
  if (run->points + 1 == run->fails_at) (void)run->layer.kv_set(run->layer.context, key, value, length / 2);
  point(run, "within a write");
  if (!run->writes_fail) done = run->layer.kv_set(run->layer.context, key, value, length);
  point(run, "after a write");
  is_below_hooks = false;
  return done;
}

static void sleep_ms(void *context, uint32_t milliseconds) {
  script *run = context;
  char line[64];
  is_below_hooks = true;
  printf("sleeps %lu\n", (unsigned long)milliseconds);
  if (!hear(line, sizeof line) || strcmp(line, "unplug") == 0) _exit(0);
  if (strcmp(line, "button") == 0) device_auth_press_button(run->device);
  run->time_ms += milliseconds;
  is_below_hooks = false;
}

static int random_bytes(void *context, void *bytes, size_t length) {
  script *run = context;
  int done;
  is_below_hooks = true;
  done = run->layer.random(run->layer.context, bytes, length);
  is_below_hooks = false;
  return done;
}

static uint64_t monotonic_ms(void *context) { return ((script *)context)->time_ms; }

static void seed_clock(void *context, int64_t unix_seconds) {
  (void)context;
  is_below_hooks = true;
  printf("seeds %lld\n", (long long)unix_seconds);
  is_below_hooks = false;
}

static void on_change(void *context, const device_auth_display *display) {
  (void)context;
  is_below_hooks = true;
  printf("shows %s %s %s %s %s %s\n", device_auth_state_name(display->state), device_auth_trouble_name(display->trouble),
         device_auth_reason_name(display->reason), display->user_code != NULL ? display->user_code : "-",
         display->verification_uri != NULL ? display->verification_uri : "-",
         display->verification_uri_complete != NULL ? display->verification_uri_complete : "-");
  is_below_hooks = false;
}

static void send_to(script *run, const char *url, bool as_json) {
  static const char *const outcomes[] = {"sent", "try_later", "not_ready"};
  char answer[512];
  int status = 0;
  device_auth_sent sent;
  is_below_hooks = false;
  sent = as_json ? device_auth_send(run->device, url, "application/json", "{\"state\":{\"temperature\":21}}", &status, answer, sizeof answer)
                 : device_auth_send(run->device, url, "application/x-www-form-urlencoded", "", &status, answer, sizeof answer);
  is_below_hooks = true;
  printf("sent %s %d\n", outcomes[sent], status);
}

/* What happens to a device that has nothing to do. False when it is unplugged. */
static bool obey(script *run, const char *line) {
  if (strncmp(line, "send ", 5) == 0) send_to(run, line + 5, true);
  else if (strncmp(line, "ask ", 4) == 0) send_to(run, line + 4, false);
  else if (strncmp(line, "pass ", 5) == 0) run->time_ms += strtoull(line + 5, NULL, 10);
  else if (strcmp(line, "button") == 0) device_auth_press_button(run->device);
  else if (strcmp(line, "forget") == 0) (void)device_auth_forget(run->device);
  else if (strcmp(line, "break_storage") == 0) run->writes_fail = true;
  else if (strcmp(line, "mend_storage") == 0) run->writes_fail = false;
  else return false;
  return true;
}

static const char *setting(const char *name) {
  const char *value = getenv(name);
  return value == NULL || *value == '\0' ? NULL : value;
}

static bool is_set(const char *name) { return setting(name) != NULL; }

int main(void) {
  static device_auth device;
  static script run;
  static char line[512];
  hal_posix layer;
  device_auth_config config;
  device_auth_hooks hooks;
  memset(&config, 0, sizeof config);
  config.issuer = setting("ISSUER");
  config.client_id = setting("CLIENT_ID");
  config.scope = setting("SCOPE");
  config.resource = setting("RESOURCE");
  config.name = "Lamp in the hall";
  config.model = "C3";
  config.firmware = "1.0.2";
  config.dpop = is_set("DPOP");
  config.pairs_on_button = is_set("BUTTON");
  config.built_at = 1767225600;
  layer.folder = setting("FOLDER");
  layer.roots = setting("ROOTS");
  layer.allow_plain_http = config.allow_plain_http = is_set("PLAIN_HTTP");
  run.layer = hal_posix_hooks(&layer);
  run.device = &device;
  run.fails_at = is_set("FAILS_AT") ? (unsigned)strtoul(setting("FAILS_AT"), NULL, 10) : 0;
  memset(&hooks, 0, sizeof hooks);
  hooks.context = &run;
  hooks.http_post = http_post;
  hooks.kv_get = kv_get;
  hooks.kv_set = kv_set;
  hooks.sleep_ms = sleep_ms;
  hooks.random = random_bytes;
  hooks.monotonic_ms = monotonic_ms;
  hooks.on_change = on_change;
  hooks.seed_clock = seed_clock;
  if (config.issuer == NULL || config.client_id == NULL || config.scope == NULL || layer.folder == NULL ||
      device_auth_init(&device, &config, &hooks) != 0) {
    printf("misconfigured\n");
    return 2;
  }
  curl_global_init(CURL_GLOBAL_DEFAULT);
  __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
  for (;;) {
    device_auth_state state;
    is_below_hooks = false;
    state = device_auth_step(&device);
    is_below_hooks = true;
    if (state != DEVICE_AUTH_READY && !(state == DEVICE_AUTH_NEEDS_PAIRING && config.pairs_on_button)) continue;
    printf(state == DEVICE_AUTH_READY ? "ready\n" : "idle\n");
    if (!hear(line, sizeof line) || !obey(&run, line)) break;
  }
  printf("used %lu %lu %u\n", (unsigned long)heap_now, (unsigned long)heap_most, run.points);
  curl_global_cleanup();
  return 0;
}
