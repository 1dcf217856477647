/* The hooks of device_auth for ESP-IDF: esp_http_client over TLS with root certificates, NVS, FreeRTOS. */
#ifndef HAL_ESPIDF_H
#define HAL_ESPIDF_H

#include "device_auth.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  /* One or more root certificates, PEM; NULL for the roots that ESP-IDF brings along (esp_crt_bundle). Never a leaf: those end. */
  const char *roots;
  /* Partition and namespace of NVS; NULL for "nvs" and "device_auth". */
  const char *partition;
  const char *name_space;
} hal_espidf;

/* After nvs_flash_init (or nvs_flash_secure_init) and with the network up. `layer` must live as long as the hooks. */
device_auth_hooks hal_espidf_hooks(hal_espidf *layer);

#ifdef __cplusplus
}
#endif

#endif
