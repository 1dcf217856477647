#include "device_auth_record.h"

#include <string.h>

#include "device_auth_text.h"

/* The last character is the version of what follows: a firmware that knows another one begins anew. */
static const uint8_t magic[4] = {'P', 'D', 'A', '1'};

static const char *slot_of(uint32_t sequence) { return sequence & 1U ? "slot1" : "slot0"; }

typedef struct {
  uint8_t *bytes;
  size_t capacity;
  size_t at;
  bool failed;
} cursor;

static void put(cursor *to, const void *bytes, size_t length) {
  if (to->failed || to->capacity - to->at < length) {
    to->failed = true;
    return;
  }
  memcpy(to->bytes + to->at, bytes, length);
  to->at += length;
}

static void put_number(cursor *to, uint64_t number, size_t width) {
  uint8_t bytes[8];
  size_t index;
  for (index = 0; index < width; index++) bytes[index] = (uint8_t)(number >> (8U * index));
  put(to, bytes, width);
}

static void put_text(cursor *to, const char *text) {
  size_t length = strlen(text);
  put_number(to, length, 2);
  put(to, text, length);
}

static void get(cursor *from, void *bytes, size_t length) {
  if (from->failed || from->capacity - from->at < length) {
    from->failed = true;
    return;
  }
  memcpy(bytes, from->bytes + from->at, length);
  from->at += length;
}

static uint64_t get_number(cursor *from, size_t width) {
  uint8_t bytes[8] = {0};
  uint64_t number = 0;
  get(from, bytes, width);
  while (width-- > 0) number = number << 8 | bytes[width];
  return number;
}

static void get_text(cursor *from, char *text, size_t capacity) {
  size_t length = (size_t)get_number(from, 2);
  if (length >= capacity) {
    from->failed = true;
    return;
  }
  get(from, text, length);
  text[from->failed ? 0 : length] = '\0';
}

static size_t encode(uint8_t *bytes, const device_auth_record *record) {
  cursor to = {bytes, DEVICE_AUTH_RECORD_SIZE, 0, false};
  put(&to, magic, sizeof magic);
  put_number(&to, record->sequence, 4);
  put_number(&to, (uint64_t)record->phase, 1);
  put_number(&to, record->belongs_to, 4);
  put_number(&to, (uint64_t)record->known_time, 8);
  put_number(&to, record->has_key ? 1 : 0, 1);
  if (record->has_key) {
    put(&to, record->key, sizeof record->key);
    put(&to, record->public_key, sizeof record->public_key);
  }
  if (record->phase == DEVICE_AUTH_PAIRED) put_text(&to, record->refresh_token);
  if (record->phase == DEVICE_AUTH_HAS_CODE) {
    put_number(&to, record->interval_seconds, 4);
    put_number(&to, record->expires_in_seconds, 4);
    put_text(&to, record->device_code);
    put_text(&to, record->user_code);
    put_text(&to, record->verification_uri);
    put_text(&to, record->verification_uri_complete);
  }
  put_number(&to, device_auth_crc32(0, bytes, to.at), 4);
  return to.failed ? 0 : to.at;
}

static bool decode(uint8_t *bytes, size_t length, device_auth_record *record) {
  cursor from = {bytes, length, 0, false};
  cursor checksum = {bytes, length, length - 4, false};
  uint8_t start[sizeof magic];
  uint64_t phase;
  memset(record, 0, sizeof *record);
  if (length < sizeof magic + 4 || get_number(&checksum, 4) != device_auth_crc32(0, bytes, length - 4)) return false;
  get(&from, start, sizeof start);
  if (memcmp(start, magic, sizeof magic) != 0) return false;
  record->sequence = (uint32_t)get_number(&from, 4);
  phase = get_number(&from, 1);
  record->phase = (device_auth_phase)phase;
  record->belongs_to = (uint32_t)get_number(&from, 4);
  record->known_time = (int64_t)get_number(&from, 8);
  record->has_key = get_number(&from, 1) == 1;
  if (record->has_key) {
    get(&from, record->key, sizeof record->key);
    get(&from, record->public_key, sizeof record->public_key);
  }
  if (phase == DEVICE_AUTH_PAIRED) get_text(&from, record->refresh_token, sizeof record->refresh_token);
  if (phase == DEVICE_AUTH_HAS_CODE) {
    record->interval_seconds = (uint32_t)get_number(&from, 4);
    record->expires_in_seconds = (uint32_t)get_number(&from, 4);
    get_text(&from, record->device_code, sizeof record->device_code);
    get_text(&from, record->user_code, sizeof record->user_code);
    get_text(&from, record->verification_uri, sizeof record->verification_uri);
    get_text(&from, record->verification_uri_complete, sizeof record->verification_uri_complete);
  }
  return !from.failed && phase <= DEVICE_AUTH_PAIRED && from.at == length - 4;
}

/* 1 for a whole record, 0 for none, -1 when it could not be read. */
static int load_slot(const device_auth_hooks *hooks, uint32_t number, uint8_t *scratch, device_auth_record *record) {
  int length = hooks->kv_get(hooks->context, slot_of(number), scratch, DEVICE_AUTH_RECORD_SIZE);
  if (length < 0 || length > DEVICE_AUTH_RECORD_SIZE) return -1;
  return decode(scratch, (size_t)length, record) && (record->sequence & 1U) == number ? 1 : 0;
}

static device_auth_loaded load_newest(const device_auth_hooks *hooks, bool settles, uint8_t *scratch, device_auth_record *record) {
  int first = load_slot(hooks, 0, scratch, record);
  uint32_t first_sequence = record->sequence;
  int second = load_slot(hooks, 1, scratch, record);
  uint32_t newest;
  if (first != 1 && second != 1) return first < 0 || second < 0 ? DEVICE_AUTH_UNREADABLE : DEVICE_AUTH_EMPTY;
  if ((first < 0 || second < 0) && !settles) return DEVICE_AUTH_UNREADABLE;
  /* The number may go around: the difference says which is newer, not the size. */
  if (first == 1 && second == 1) newest = (int32_t)(first_sequence - record->sequence) > 0 ? 0 : 1;
  else newest = second == 1 ? 1 : 0;
  return load_slot(hooks, newest, scratch, record) == 1 ? DEVICE_AUTH_LOADED : DEVICE_AUTH_UNREADABLE;
}

device_auth_loaded device_auth_load_record(const device_auth_hooks *hooks, bool settles, uint8_t *scratch, device_auth_record *record) {
  device_auth_loaded loaded = load_newest(hooks, settles, scratch, record);
  device_auth_wipe(scratch, DEVICE_AUTH_RECORD_SIZE);
  if (loaded != DEVICE_AUTH_LOADED) device_auth_wipe(record, sizeof *record);
  return loaded;
}

int device_auth_store_record(const device_auth_hooks *hooks, uint8_t *scratch, device_auth_record *record) {
  size_t length;
  int written;
  record->sequence += 1;
  length = encode(scratch, record);
  written = length == 0 ? -1 : hooks->kv_set(hooks->context, slot_of(record->sequence), scratch, length);
  device_auth_wipe(scratch, DEVICE_AUTH_RECORD_SIZE);
  if (written == 0) return 0;
  record->sequence -= 1;
  return -1;
}
