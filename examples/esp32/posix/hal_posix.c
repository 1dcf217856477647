#define _POSIX_C_SOURCE 200809L

#include "hal_posix.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 512, HEADER_SIZE = DEVICE_AUTH_ACCESS_TOKEN_SIZE + 64, CONNECT_SECONDS = 10, REQUEST_SECONDS = 30 };

static size_t on_header(char *bytes, size_t size, size_t count, void *context) {
  size_t length = size * count;
  const char *colon = memchr(bytes, ':', length);
  if (colon != NULL)
    device_auth_take_header(context, bytes, (size_t)(colon - bytes), colon + 1, length - (size_t)(colon + 1 - bytes));
  return length;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context) {
  device_auth_take_body(context, bytes, size * count);
  return size * count;
}

static bool add_header(struct curl_slist **headers, const char *name, const char *value) {
  char line[HEADER_SIZE];
  struct curl_slist *longer;
  int length;
  if (value == NULL) return true;
  length = snprintf(line, sizeof line, "%s: %s", name, value);
  if (length < 0 || (size_t)length >= sizeof line) return false;
  longer = curl_slist_append(*headers, line);
  memset(line, 0, sizeof line);
  if (longer == NULL) return false;
  *headers = longer;
  return true;
}

static bool prepare(CURL *curl, const hal_posix *layer, const device_auth_request *request, device_auth_response *response) {
  const char *protocols = layer->allow_plain_http ? "https,http" : "https";
  return curl_easy_setopt(curl, CURLOPT_URL, request->url) == CURLE_OK &&
         curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols) == CURLE_OK &&
         curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body) == CURLE_OK &&
         curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)request->body_length) == CURLE_OK &&
         curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
         /* A connection of its own: on one that was used before, libcurl sends a request twice when the server has closed it. */
         curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK &&
         curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS) == CURLE_OK &&
         curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)REQUEST_SECONDS) == CURLE_OK &&
         curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
         curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
         curl_easy_setopt(curl, CURLOPT_HEADERDATA, response) == CURLE_OK &&
         curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
         curl_easy_setopt(curl, CURLOPT_WRITEDATA, response) == CURLE_OK &&
         (layer->roots == NULL || (curl_easy_setopt(curl, CURLOPT_CAINFO, layer->roots) == CURLE_OK &&
                                   curl_easy_setopt(curl, CURLOPT_CAPATH, NULL) == CURLE_OK));
}

static int http_post(void *context, const device_auth_request *request, device_auth_response *response) {
  CURL *curl = curl_easy_init();
  struct curl_slist *headers = NULL;
  long status = 0;
  int done = -1;
  if (curl == NULL) return -1;
  if (add_header(&headers, "Content-Type", request->content_type) && add_header(&headers, "Accept", "application/json") &&
      add_header(&headers, "Authorization", request->authorization) && add_header(&headers, "DPoP", request->dpop) &&
      /* Without it libcurl asks first whether it may send. */
      add_header(&headers, "Expect", "") && prepare(curl, context, request, response) &&
      curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK) {
    CURLcode sent = curl_easy_perform(curl);
    if (sent == CURLE_OK) sent = curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (sent == CURLE_OK) done = 0;
    else fprintf(stderr, "%s: %s\n", request->url, curl_easy_strerror(sent));
  }
  response->status = (int)status;
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
  return done;
}

static bool path_of(char path[PATH_SIZE], const hal_posix *layer, const char *key, const char *ending) {
  int length = snprintf(path, PATH_SIZE, "%s/%s%s", layer->folder, key, ending);
  return length > 0 && length < PATH_SIZE;
}

/* All of it, or -1. */
static int read_whole(int file, uint8_t *bytes, size_t capacity) {
  size_t length = 0;
  for (;;) {
    uint8_t more;
    ssize_t count = length < capacity ? read(file, bytes + length, capacity - length) : read(file, &more, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 || (count > 0 && length == capacity)) return -1;
    if (count == 0) return (int)length;
    length += (size_t)count;
  }
}

static int kv_get(void *context, const char *key, void *value, size_t capacity) {
  char path[PATH_SIZE];
  int file;
  int length;
  if (!path_of(path, context, key, "")) return -1;
  file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno == ENOENT ? 0 : -1;
  length = read_whole(file, value, capacity);
  close(file);
  return length;
}

static bool write_whole(int file, const uint8_t *bytes, size_t length) {
  while (length > 0) {
    ssize_t count = write(file, bytes, length);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    bytes += count;
    length -= (size_t)count;
  }
  return true;
}

static bool sync_folder(const char *folder) {
  int file = open(folder, O_RDONLY | O_CLOEXEC);
  bool done;
  if (file < 0) return false;
  done = fsync(file) == 0;
  close(file);
  return done;
}

/* Beside the old value, flushed, and only then in its place; and the place flushed as well. */
static int kv_set(void *context, const char *key, const void *value, size_t length) {
  const hal_posix *layer = context;
  char path[PATH_SIZE];
  char beside[PATH_SIZE];
  bool done;
  int file;
  if (!path_of(path, layer, key, "") || !path_of(beside, layer, key, ".new")) return -1;
  file = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return -1;
  done = write_whole(file, value, length) && fsync(file) == 0;
  if (close(file) != 0) done = false;
  return done && rename(beside, path) == 0 && sync_folder(layer->folder) ? 0 : -1;
}

static void sleep_ms(void *context, uint32_t milliseconds) {
  struct timespec left = {(time_t)(milliseconds / 1000U), (long)(milliseconds % 1000U) * 1000000L};
  (void)context;
  /* A signal cuts the wait short, so that whoever asked the process to end is heard; the core looks at its clock again. */
  (void)nanosleep(&left, NULL);
}

static int random_bytes(void *context, void *bytes, size_t length) {
  int file = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  size_t count = 0;
  (void)context;
  if (file < 0) return -1;
  while (count < length) {
    ssize_t more = read(file, (uint8_t *)bytes + count, length - count);
    if (more < 0 && errno == EINTR) continue;
    if (more <= 0) break;
    count += (size_t)more;
  }
  close(file);
  return count == length ? 0 : -1;
}

static uint64_t monotonic_ms(void *context) {
  struct timespec time;
  (void)context;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000U + (uint64_t)time.tv_nsec / 1000000U;
}

device_auth_hooks hal_posix_hooks(hal_posix *layer) {
  device_auth_hooks hooks;
  memset(&hooks, 0, sizeof hooks);
  hooks.context = layer;
  hooks.http_post = http_post;
  hooks.kv_get = kv_get;
  hooks.kv_set = kv_set;
  hooks.sleep_ms = sleep_ms;
  hooks.random = random_bytes;
  hooks.monotonic_ms = monotonic_ms;
  /* No seed_clock: the system keeps its own. */
  return hooks;
}
