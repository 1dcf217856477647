/* The Arduino core defines ESP_PLATFORM too: there hal_arduino.cpp is the layer. */
#if defined(ESP_PLATFORM) && !defined(ARDUINO)

#include "hal_espidf.h"

#include <string.h>
#include <sys/time.h>

#include "esp_crt_bundle.h"
#include "esp_http_client.h"
#include "esp_random.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "nvs.h"

enum {
  TIMEOUT_MS = 20000,
  /* A proof and a token are longer than the 512 bytes that are usual. */
  SEND_BUFFER = DEVICE_AUTH_ACCESS_TOKEN_SIZE + DEVICE_AUTH_PROOF_SIZE + 512,
  LONGEST_SLEEP_MS = 60 * 1000
};

static esp_err_t on_event(esp_http_client_event_t *event) {
  device_auth_response *response = event->user_data;
  if (event->event_id == HTTP_EVENT_ON_HEADER)
    device_auth_take_header(response, event->header_key, strlen(event->header_key), event->header_value, strlen(event->header_value));
  if (event->event_id == HTTP_EVENT_ON_DATA && event->data_len > 0)
    device_auth_take_body(response, event->data, (size_t)event->data_len);
  return ESP_OK;
}

static bool set_header(esp_http_client_handle_t client, const char *name, const char *value) {
  return value == NULL || esp_http_client_set_header(client, name, value) == ESP_OK;
}

static int http_post(void *context, const device_auth_request *request, device_auth_response *response) {
  const hal_espidf *layer = context;
  esp_http_client_config_t config = {
      .url = request->url,
      .method = HTTP_METHOD_POST,
      .timeout_ms = TIMEOUT_MS,
      .event_handler = on_event,
      .user_data = response,
      .buffer_size_tx = SEND_BUFFER,
      .disable_auto_redirect = true,
      .max_authorization_retries = -1,
      .cert_pem = layer->roots,
      .crt_bundle_attach = layer->roots == NULL ? esp_crt_bundle_attach : NULL,
  };
  esp_http_client_handle_t client = esp_http_client_init(&config);
  int done = -1;
  if (client == NULL) return -1;
  if (set_header(client, "Content-Type", request->content_type) && set_header(client, "Accept", "application/json") &&
      set_header(client, "Authorization", request->authorization) && set_header(client, "DPoP", request->dpop) &&
      esp_http_client_set_post_field(client, request->body, (int)request->body_length) == ESP_OK &&
      esp_http_client_perform(client) == ESP_OK) {
    response->status = esp_http_client_get_status_code(client);
    done = response->status > 0 ? 0 : -1;
  }
  esp_http_client_cleanup(client);
  return done;
}

static esp_err_t open_storage(const hal_espidf *layer, nvs_open_mode_t mode, nvs_handle_t *handle) {
  const char *partition = layer->partition != NULL ? layer->partition : "nvs";
  const char *name_space = layer->name_space != NULL ? layer->name_space : "device_auth";
  return nvs_open_from_partition(partition, name_space, mode, handle);
}

static int kv_get(void *context, const char *key, void *value, size_t capacity) {
  nvs_handle_t handle;
  size_t length = capacity;
  /* Read and write, so that a namespace nobody has written to yet is made, and not an error. */
  if (open_storage(context, NVS_READWRITE, &handle) != ESP_OK) return -1;
  esp_err_t got = nvs_get_blob(handle, key, value, &length);
  nvs_close(handle);
  if (got == ESP_ERR_NVS_NOT_FOUND) return 0;
  return got == ESP_OK ? (int)length : -1;
}

static int kv_set(void *context, const char *key, const void *value, size_t length) {
  nvs_handle_t handle;
  if (open_storage(context, NVS_READWRITE, &handle) != ESP_OK) return -1;
  esp_err_t set = nvs_set_blob(handle, key, value, length);
  if (set == ESP_OK) set = nvs_commit(handle);
  nvs_close(handle);
  return set == ESP_OK ? 0 : -1;
}

static void sleep_ms(void *context, uint32_t milliseconds) {
  (void)context;
  /* In parts: ticks of a long time do not fit where ticks have 32 bits. */
  while (milliseconds > 0) {
    uint32_t part = milliseconds > LONGEST_SLEEP_MS ? LONGEST_SLEEP_MS : milliseconds;
    vTaskDelay(pdMS_TO_TICKS(part) + 1);
    milliseconds -= part;
  }
}

/* With the radio on, as it is whenever we have a network, this is a true random source. */
static int random_bytes(void *context, void *bytes, size_t length) {
  (void)context;
  esp_fill_random(bytes, length);
  return 0;
}

static uint64_t monotonic_ms(void *context) {
  (void)context;
  return (uint64_t)esp_timer_get_time() / 1000U;
}

/* Only forward: what SNTP has set stays. */
static void seed_clock(void *context, int64_t unix_seconds) {
  struct timeval time;
  (void)context;
  if (gettimeofday(&time, NULL) == 0 && (int64_t)time.tv_sec >= unix_seconds) return;
  time.tv_sec = (time_t)unix_seconds;
  time.tv_usec = 0;
  settimeofday(&time, NULL);
}

device_auth_hooks hal_espidf_hooks(hal_espidf *layer) {
  device_auth_hooks hooks = {
      .context = layer,
      .http_post = http_post,
      .kv_get = kv_get,
      .kv_set = kv_set,
      .sleep_ms = sleep_ms,
      .random = random_bytes,
      .monotonic_ms = monotonic_ms,
      .seed_clock = seed_clock,
  };
  return hooks;
}

#else
/* ISO C wants something in every file. */
typedef int hal_espidf_is_not_for_this_platform;
#endif
