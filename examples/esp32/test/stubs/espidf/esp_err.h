/* Just enough of ESP-IDF 5 to check the types of hal_espidf.c with a compiler of this machine. Nothing of it can run. */
#pragma once
typedef int esp_err_t;
#define ESP_OK 0
