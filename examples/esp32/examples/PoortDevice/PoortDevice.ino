/*
 * Pairs an ESP32 with its owner and sends what it measures. Fill in the five lines below, flash, open the serial monitor (115200).
 * The LED: dark while it starts, quick blinks for a code that waits, slow blinks in trouble, steady when it may send.
 */
#include <WiFi.h>

#include "hal_arduino.h"

static const char *const WIFI_NAME = "…";
static const char *const WIFI_PASSWORD = "…";
static const char *const ISSUER = "https://id.example/t/acme";
static const char *const CLIENT_ID = "…";
/* The root above your server's certificate, and the next one beside it when it is about to change. */
static const char *const ROOTS = R"(-----BEGIN CERTIFICATE-----
…
-----END CERTIFICATE-----
)";

static const int LED = 2;
static const uint32_t PAUSE_MS = 60000;

static device_auth device;
static hal_arduino layer = {ROOTS};
static char telemetry[DEVICE_AUTH_URI_SIZE + 40];
static uint32_t sentAt = 0;

static void onChange(void *, const device_auth_display *shown) {
  Serial.printf("%s (%s)\n", device_auth_state_name(shown->state), device_auth_trouble_name(shown->trouble));
  if (shown->user_code == nullptr) return;
  Serial.printf("Open %s and type %s\n", shown->verification_uri, shown->user_code);
  /* For a display: draw shown->verification_uri_complete as a QR code, and the user code below it. */
}

static void blink(const device_auth_display &shown) {
  if (shown.state == DEVICE_AUTH_READY && shown.trouble == DEVICE_AUTH_NO_TROUBLE) return digitalWrite(LED, HIGH);
  if (shown.state == DEVICE_AUTH_PAIRING) return digitalWrite(LED, millis() / 200 % 2);
  digitalWrite(LED, shown.state == DEVICE_AUTH_STARTING ? LOW : millis() / 1000 % 2);
}

void setup() {
  Serial.begin(115200);
  pinMode(LED, OUTPUT);
  WiFi.begin(WIFI_NAME, WIFI_PASSWORD);
  while (WiFi.status() != WL_CONNECTED) delay(200);

  device_auth_hooks hooks = hal_arduino_hooks(&layer);
  hooks.on_change = onChange;
  device_auth_config config = {};
  config.issuer = ISSUER;
  config.client_id = CLIENT_ID;
  config.scope = "openid offline_access telemetry:write";
  config.model = "ESP32";
  config.firmware = "1.0.0";
  config.start_spread_ms = 5000;
  config.longest_wait_ms = 100;
  if (device_auth_init(&device, &config, &hooks) != 0) Serial.println("The settings above cannot be right.");
  snprintf(telemetry, sizeof telemetry, "%s/api/v1/devices/self/telemetry", ISSUER);
  configTime(0, 0, "pool.ntp.org");
}

void loop() {
  blink(device_auth_shown(&device));
  if (device_auth_step(&device) != DEVICE_AUTH_READY) return;
  if (sentAt != 0 && millis() - sentAt < PAUSE_MS) return delay(100);
  char body[64];
  snprintf(body, sizeof body, "{\"state\":{\"temperature\":%.1f}}", temperatureRead());
  int status = 0;
  if (device_auth_send(&device, telemetry, "application/json", body, &status, nullptr, 0) != DEVICE_AUTH_SENT) return;
  sentAt = millis();
  Serial.printf("sent: %d\n", status);
}
