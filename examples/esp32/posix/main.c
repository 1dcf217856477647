/*
 * A device for who has a computer and no board: pairs, and sends what it measures every few seconds. All it needs stands in its
 * environment: ISSUER, CLIENT_ID, FOLDER, and if wished SCOPE, RESOURCE, ROOTS, DPOP=1, URL (where to send) and SECONDS.
 */
#define _POSIX_C_SOURCE 200809L

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hal_posix.h"

static volatile sig_atomic_t asked_to_end = 0;

static void on_signal(int number) {
  (void)number;
  asked_to_end = 1;
}

static const char *setting(const char *name, const char *usual) {
  const char *value = getenv(name);
  return value == NULL || *value == '\0' ? usual : value;
}

static void on_change(void *context, const device_auth_display *display) {
  (void)context;
  printf("%s (trouble: %s, reason: %s)\n", device_auth_state_name(display->state), device_auth_trouble_name(display->trouble),
         device_auth_reason_name(display->reason));
  if (display->user_code != NULL) printf("  code %s at %s\n", display->user_code, display->verification_uri);
  if (display->verification_uri_complete != NULL) printf("  or open %s\n", display->verification_uri_complete);
  fflush(stdout);
}

static char *measure(int count) {
  cJSON *reading = cJSON_CreateObject();
  cJSON *state = cJSON_AddObjectToObject(reading, "state");
  char *text;
  cJSON_AddNumberToObject(state, "temperature", 20.0 + count % 10);
  text = cJSON_PrintUnformatted(reading);
  cJSON_Delete(reading);
  return text;
}

static void send_reading(device_auth *device, const char *url) {
  static int count = 0;
  char answer[256];
  char *body = measure(count);
  int status = 0;
  device_auth_sent sent;
  if (body == NULL) return;
  sent = device_auth_send(device, url, "application/json", body, &status, answer, sizeof answer);
  free(body);
  if (sent != DEVICE_AUTH_SENT) return;
  count += 1;
  printf("sent reading %d: %d %s\n", count, status, status >= 400 ? answer : "");
  fflush(stdout);
}

int main(void) {
  static device_auth device;
  static char telemetry[256];
  struct sigaction action;
  hal_posix layer;
  device_auth_hooks hooks;
  device_auth_config config;
  unsigned seconds = (unsigned)strtoul(setting("SECONDS", "10"), NULL, 10);
  const char *url = setting("URL", telemetry);
  memset(&config, 0, sizeof config);
  config.issuer = setting("ISSUER", NULL);
  config.client_id = setting("CLIENT_ID", NULL);
  config.scope = setting("SCOPE", "openid offline_access");
  config.resource = setting("RESOURCE", NULL);
  config.name = setting("NAME", "Simulated ESP32");
  config.model = "POSIX";
  config.firmware = "1.0.0";
  config.dpop = strcmp(setting("DPOP", "0"), "1") == 0;
  layer.folder = setting("FOLDER", ".");
  layer.roots = setting("ROOTS", NULL);
  if (config.issuer == NULL || config.client_id == NULL) {
    fprintf(stderr, "Set ISSUER and CLIENT_ID.\n");
    return 2;
  }
  layer.allow_plain_http = config.allow_plain_http = strncmp(config.issuer, "http://localhost", 16) == 0;
  snprintf(telemetry, sizeof telemetry, "%s/api/v1/devices/self/telemetry", config.issuer);
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  config.longest_wait_ms = 1000;
  hooks = hal_posix_hooks(&layer);
  hooks.on_change = on_change;
  if (device_auth_init(&device, &config, &hooks) != 0) {
    fprintf(stderr, "These settings cannot be right: the issuer is https (or http://localhost) and has no slash at its end.\n");
    return 2;
  }
  curl_global_init(CURL_GLOBAL_DEFAULT);
  while (!asked_to_end) {
    struct timespec pause = {(time_t)seconds, 0};
    if (device_auth_step(&device) != DEVICE_AUTH_READY) continue;
    send_reading(&device, url);
    nanosleep(&pause, NULL);
  }
  curl_global_cleanup();
  return 0;
}
