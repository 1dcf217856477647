/* The hooks of device_auth for the Arduino core of the ESP32 (3.x): HTTPClient over NetworkClientSecure, Preferences. */
#ifndef HAL_ARDUINO_H
#define HAL_ARDUINO_H

#include "device_auth.h"

typedef struct {
  /* One or more root certificates, PEM. Never a leaf: those end, and every device with it falls silent on the same day. */
  const char *roots;
} hal_arduino;

/* Once WiFi is up. `layer` must live as long as the hooks. */
device_auth_hooks hal_arduino_hooks(hal_arduino *layer);

#endif
