/*
 * Signs a device in at Poort and keeps it signed in: the device grant (RFC 8628), refresh tokens that rotate and survive power loss,
 * DPoP (RFC 9449). Portable C99. It owns the order of things; what differs between boards is in the hooks. It starts no task, keeps
 * nothing global, needs no right clock, and takes memory only for as long as a request lasts.
 *
 * One task calls it. From another task only device_auth_press_button may be called.
 */
#ifndef DEVICE_AUTH_H
#define DEVICE_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Room for what is kept, each with its closing zero. An access token of Poort has 46 characters when it is opaque; a signed one has
 * some 1,200. What does not fit is refused, never cut off. */
#define DEVICE_AUTH_ACCESS_TOKEN_SIZE 2048
#define DEVICE_AUTH_REFRESH_TOKEN_SIZE 256
#define DEVICE_AUTH_DEVICE_CODE_SIZE 128
#define DEVICE_AUTH_USER_CODE_SIZE 32
#define DEVICE_AUTH_URI_SIZE 192
#define DEVICE_AUTH_NONCE_SIZE 128
#define DEVICE_AUTH_ANSWER_SIZE 4096
#define DEVICE_AUTH_FORM_SIZE 1536
#define DEVICE_AUTH_PROOF_SIZE 1536
#define DEVICE_AUTH_KEY_SIZE 32
#define DEVICE_AUTH_PUBLIC_KEY_SIZE 64
#define DEVICE_AUTH_RECORD_SIZE 1024

/* What to show. */
typedef enum {
  DEVICE_AUTH_STARTING,
  /* Belongs to nobody, or not any more. Asks for a code by itself, or when the button is pressed. */
  DEVICE_AUTH_NEEDS_PAIRING,
  /* A code is on the display and waits for its owner. */
  DEVICE_AUTH_PAIRING,
  /* Paired, and fetching a fresh access token. */
  DEVICE_AUTH_RENEWING,
  /* May send. */
  DEVICE_AUTH_READY,
  /* Its owner or the tenant has stopped it. It keeps its pairing and asks now and then whether it may go on. */
  DEVICE_AUTH_QUARANTINED,
  /* The server refuses what this firmware is: client, scope or grant. Somebody has to look at the configuration; asks again slowly. */
  DEVICE_AUTH_REFUSED
} device_auth_state;

/* Why it does not get on just now. Goes away by itself or with the network. */
typedef enum {
  DEVICE_AUTH_NO_TROUBLE,
  /* No answer: no network, no server, or a certificate that is not trusted. */
  DEVICE_AUTH_NO_NETWORK,
  /* The server asked to come back later (429, 503). */
  DEVICE_AUTH_BUSY,
  /* An answer that is none. */
  DEVICE_AUTH_BAD_ANSWER,
  /* What must be kept could not be written, or not be read. */
  DEVICE_AUTH_NO_STORAGE,
  DEVICE_AUTH_NO_MEMORY
} device_auth_trouble;

/* How the last pairing ended, until there is a new one. */
typedef enum {
  DEVICE_AUTH_NO_REASON,
  DEVICE_AUTH_DENIED,
  DEVICE_AUTH_CODE_EXPIRED,
  /* It was paired, and is no more: revoked by its owner, or unused for too long. */
  DEVICE_AUTH_REVOKED
} device_auth_reason;

/* For a display and an LED. Texts are NULL while there is no code, and are those of the state itself: copy what must last. */
typedef struct {
  device_auth_state state;
  device_auth_trouble trouble;
  device_auth_reason reason;
  const char *user_code;
  const char *verification_uri;
  /* For a QR code. Its owner still compares the user code: always show that as well. */
  const char *verification_uri_complete;
  /* Until the next attempt. */
  uint32_t next_in_ms;
} device_auth_display;

/* One POST. Names of headers are fixed; what is NULL is left out. */
typedef struct {
  const char *url;
  const char *content_type;
  const char *body;
  size_t body_length;
  /* Whole values of the headers `Authorization` and `DPoP`. */
  const char *authorization;
  const char *dpop;
} device_auth_request;

/* Filled by a layer through device_auth_take_header and device_auth_take_body, which keep what is wanted and as much as fits. */
typedef struct {
  int status;
  char *body;
  size_t body_capacity;
  size_t body_length;
  bool body_too_long;
  char dpop_nonce[DEVICE_AUTH_NONCE_SIZE];
  char retry_after[32];
  char date[32];
  char authenticate[256];
} device_auth_response;

/*
 * The four hooks http_post, kv_get with kv_set, sleep_ms and random; a fifth, monotonic_ms, because nothing else can tell how long a
 * token has been there when no clock is right. The last four may be NULL.
 */
typedef struct {
  void *context;

  /* Sends once: no retry, no redirect, the server's certificate checked against a root. 0 when any HTTP answer came whole, else -1. */
  int (*http_post)(void *context, const device_auth_request *request, device_auth_response *response);

  /* Length of the value; 0 when there is none; -1 when that could not be found out or it is longer than `capacity`. */
  int (*kv_get)(void *context, const char *key, void *value, size_t capacity);
  /* 0 only when the value survives a power loss from now on. */
  int (*kv_set)(void *context, const char *key, const void *value, size_t length);

  void (*sleep_ms)(void *context, uint32_t milliseconds);
  /* 0 when all bytes are from a source fit for keys. */
  int (*random)(void *context, void *bytes, size_t length);
  /* Never goes back, never wraps, says nothing about the date. */
  uint64_t (*monotonic_ms)(void *context);

  /* Something that a display or an LED shows has changed. */
  void (*on_change)(void *context, const device_auth_display *display);
  /* It is at least this late. Sets a clock that is behind, never one that is ahead: certificates are valid from a date on. */
  void (*seed_clock)(void *context, int64_t unix_seconds);
  /* malloc and free unless given. */
  void *(*allocate)(void *context, size_t size);
  void (*release)(void *context, void *memory, size_t size);
} device_auth_hooks;

/* All texts must live as long as the device. Those that say so may be NULL. */
typedef struct {
  /* Without a slash at the end, as in the tenant's metadata: https://id.example/t/acme */
  const char *issuer;
  const char *client_id;
  /* With offline_access, or there is nothing to keep. */
  const char *scope;
  /* RFC 8707; may be NULL. */
  const char *resource;
  /* What its owner reads when they approve it; may be NULL. */
  const char *name;
  const char *model;
  const char *firmware;
  /* Binds its tokens to a key of its own (RFC 9449). */
  bool dpop;
  /* Asks for a code only after device_auth_press_button. For what has no display, or hangs where strangers pass. */
  bool pairs_on_button;
  /* For a server on the developer's own machine. */
  bool allow_plain_http;
  /* Unix time when the firmware was built, or 0: it is later than that. */
  int64_t built_at;
  /* Spreads a whole street that gets its power back at once; 0 to 5,000 ms is kind. */
  uint32_t start_spread_ms;
  /* The longest that one step waits, so that the caller comes by for its button and its display; 0 for as long as it takes. */
  uint32_t longest_wait_ms;
} device_auth_config;

typedef enum { DEVICE_AUTH_UNPAIRED, DEVICE_AUTH_HAS_CODE, DEVICE_AUTH_PAIRED } device_auth_phase;

/* What survives a power loss, always as a whole. */
typedef struct {
  uint32_t sequence;
  device_auth_phase phase;
  /* Of the issuer and client that it belongs to. */
  uint32_t belongs_to;
  bool has_key;
  uint8_t key[DEVICE_AUTH_KEY_SIZE];
  uint8_t public_key[DEVICE_AUTH_PUBLIC_KEY_SIZE];
  /* Unix time of the server when this was written; 0 when it was never heard. */
  int64_t known_time;
  uint32_t interval_seconds;
  uint32_t expires_in_seconds;
  char refresh_token[DEVICE_AUTH_REFRESH_TOKEN_SIZE];
  char device_code[DEVICE_AUTH_DEVICE_CODE_SIZE];
  char user_code[DEVICE_AUTH_USER_CODE_SIZE];
  char verification_uri[DEVICE_AUTH_URI_SIZE];
  char verification_uri_complete[DEVICE_AUTH_URI_SIZE];
} device_auth_record;

/* Treat as closed: it is here so that it can be a static variable. */
typedef struct {
  device_auth_config config;
  device_auth_hooks hooks;
  device_auth_state state;
  device_auth_trouble trouble;
  device_auth_reason reason;
  device_auth_record record;
  unsigned failed_loads;
  volatile bool button_was_pressed;
  char access_token[DEVICE_AUTH_ACCESS_TOKEN_SIZE];
  /* Monotonic, in milliseconds. */
  uint64_t renew_at;
  uint64_t code_dies_at;
  uint64_t next_at;
  uint32_t interval_seconds;
  unsigned failures;
  unsigned send_failures;
  unsigned refusals;
  unsigned invalid_grants;
  int64_t heard_time;
  uint64_t heard_time_at;
  /* Each server rolls over its own nonces (RFC 9449 §8.2). */
  char server_nonce[DEVICE_AUTH_NONCE_SIZE];
  char resource_nonce[DEVICE_AUTH_NONCE_SIZE];
  /* What on_change was told last. */
  bool has_shown;
  device_auth_state shown_state;
  device_auth_trouble shown_trouble;
  device_auth_reason shown_reason;
  uint32_t shown_code;
} device_auth;

/* 0, or -1 when the configuration cannot be right: a hook is missing, a text is too long, or an address is not https. */
int device_auth_init(device_auth *device, const device_auth_config *config, const device_auth_hooks *hooks);

/*
 * Waits until the next thing is due, does it, and returns the state. At most one exchange with the server and its one repetition
 * for a nonce. With nothing to do (ready, or waiting for its button) it returns at once. Call it in a loop.
 */
device_auth_state device_auth_step(device_auth *device);

typedef enum {
  /* An answer came; its status is for the caller: 2xx, or a refusal that a token cannot cure. */
  DEVICE_AUTH_SENT,
  /* Not now: call device_auth_step, which waits. */
  DEVICE_AUTH_TRY_LATER,
  /* Not ready to send: call device_auth_step, which pairs or renews. */
  DEVICE_AUTH_NOT_READY
} device_auth_sent;

/*
 * POSTs with a valid access token: renews it before when it is about to end, and once when the answer is 401. `status` gets the
 * status of the answer, and `answer`, when it is not NULL, its text with a closing zero, as much as fits in `answer_capacity`.
 */
device_auth_sent device_auth_send(device_auth *device, const char *url, const char *content_type, const char *body, int *status,
                                  char *answer, size_t answer_capacity);

/* What is shown now. */
device_auth_display device_auth_shown(const device_auth *device);

/* Whoever stands in front of it wants to pair it: asks for a code at the next step. Nothing while it is paired. From any task. */
void device_auth_press_button(device_auth *device);

/* Back to the factory: forgets tokens, code and key, in both slots. 0, or -1 when that could not be written. */
int device_auth_forget(device_auth *device);

/* For layers: an answer as it comes in. Names in any case. */
void device_auth_take_header(device_auth_response *response, const char *name, size_t name_length, const char *value,
                             size_t value_length);
void device_auth_take_body(device_auth_response *response, const char *bytes, size_t length);

/* For logs and displays. */
const char *device_auth_state_name(device_auth_state state);
const char *device_auth_trouble_name(device_auth_trouble trouble);
const char *device_auth_reason_name(device_auth_reason reason);

#ifdef __cplusplus
}
#endif

#endif
