#ifdef ARDUINO

#include "hal_arduino.h"

#include <Arduino.h>
#include <HTTPClient.h>
#include <NetworkClientSecure.h>
#include <Preferences.h>
#include <esp_random.h>
#include <esp_timer.h>
#include <string.h>
#include <sys/time.h>

static const char *const name_space = "device_auth";
static const uint16_t timeout_ms = 20000;

/* Takes the body as it comes, so that no String grows with what a server sends. */
class BoundedBody : public Stream {
 public:
  explicit BoundedBody(device_auth_response *response) : response_(response) {}
  size_t write(uint8_t byte) override { return write(&byte, 1); }
  size_t write(const uint8_t *bytes, size_t length) override {
    device_auth_take_body(response_, reinterpret_cast<const char *>(bytes), length);
    return length;
  }
  int available() override { return 0; }
  int read() override { return -1; }
  int peek() override { return -1; }

 private:
  device_auth_response *response_;
};

static void take_header(HTTPClient &http, const char *name, device_auth_response *response) {
  String value = http.header(name);
  device_auth_take_header(response, name, strlen(name), value.c_str(), value.length());
}

static int http_post(void *context, const device_auth_request *request, device_auth_response *response) {
  static const char *wanted[] = {"DPoP-Nonce", "Retry-After", "Date", "WWW-Authenticate"};
  const hal_arduino *layer = static_cast<const hal_arduino *>(context);
  NetworkClientSecure tls;
  HTTPClient http;
  BoundedBody body(response);
  if (layer->roots == nullptr) return -1;
  tls.setCACert(layer->roots);
  http.setReuse(false);
  http.setTimeout(timeout_ms);
  http.setFollowRedirects(HTTPC_DISABLE_FOLLOW_REDIRECTS);
  if (!http.begin(tls, request->url)) return -1;
  http.addHeader("Content-Type", request->content_type);
  http.addHeader("Accept", "application/json");
  if (request->authorization != nullptr) http.addHeader("Authorization", request->authorization);
  if (request->dpop != nullptr) http.addHeader("DPoP", request->dpop);
  http.collectHeaders(wanted, sizeof wanted / sizeof *wanted);
  const int status = http.POST(reinterpret_cast<uint8_t *>(const_cast<char *>(request->body)), request->body_length);
  const bool isWhole = status > 0 && http.writeToStream(&body) >= 0;
  if (isWhole) {
    response->status = status;
    for (const char *name : wanted) take_header(http, name, response);
  }
  http.end();
  return isWhole ? 0 : -1;
}

static int kv_get(void *, const char *key, void *value, size_t capacity) {
  Preferences storage;
  if (!storage.begin(name_space, false)) return -1;
  size_t length = storage.isKey(key) ? storage.getBytesLength(key) : 0;
  if (length > capacity) length = 0;
  const bool isRead = length == 0 || storage.getBytes(key, value, capacity) == length;
  storage.end();
  return isRead ? static_cast<int>(length) : -1;
}

/* Preferences commits in putBytes. */
static int kv_set(void *, const char *key, const void *value, size_t length) {
  Preferences storage;
  if (!storage.begin(name_space, false)) return -1;
  const bool isWritten = storage.putBytes(key, value, length) == length;
  storage.end();
  return isWritten ? 0 : -1;
}

static void sleep_ms(void *, uint32_t milliseconds) { delay(milliseconds); }

/* With the radio on, as it is whenever we have a network, this is a true random source. */
static int random_bytes(void *, void *bytes, size_t length) {
  esp_fill_random(bytes, length);
  return 0;
}

/* Not millis(): that goes around after 49 days. */
static uint64_t monotonic_ms(void *) { return static_cast<uint64_t>(esp_timer_get_time()) / 1000U; }

/* Only forward: what SNTP has set stays. */
static void seed_clock(void *, int64_t unix_seconds) {
  struct timeval time;
  if (gettimeofday(&time, nullptr) == 0 && static_cast<int64_t>(time.tv_sec) >= unix_seconds) return;
  time.tv_sec = static_cast<time_t>(unix_seconds);
  time.tv_usec = 0;
  settimeofday(&time, nullptr);
}

device_auth_hooks hal_arduino_hooks(hal_arduino *layer) {
  device_auth_hooks hooks;
  memset(&hooks, 0, sizeof hooks);
  hooks.context = layer;
  hooks.http_post = http_post;
  hooks.kv_get = kv_get;
  hooks.kv_set = kv_set;
  hooks.sleep_ms = sleep_ms;
  hooks.random = random_bytes;
  hooks.monotonic_ms = monotonic_ms;
  hooks.seed_clock = seed_clock;
  return hooks;
}

#endif
