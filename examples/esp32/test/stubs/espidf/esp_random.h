#pragma once
#include <stddef.h>
#ifdef __cplusplus
extern "C"
#endif
void esp_fill_random(void *buf, size_t len);
