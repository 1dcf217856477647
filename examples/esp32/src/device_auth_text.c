#include "device_auth_text.h"

#include <string.h>

device_auth_writer device_auth_write_to(char *text, size_t capacity) {
  device_auth_writer writer = {text, capacity, 0, false};
  text[0] = '\0';
  return writer;
}

static void write_character(device_auth_writer *writer, char character) {
  if (writer->length + 1 >= writer->capacity) {
    writer->overflowed = true;
    return;
  }
  writer->text[writer->length++] = character;
  writer->text[writer->length] = '\0';
}

void device_auth_write(device_auth_writer *writer, const char *text) {
  while (*text != '\0') write_character(writer, *text++);
}

void device_auth_write_number(device_auth_writer *writer, int64_t number) {
  char digits[20];
  size_t count = 0;
  uint64_t rest = number < 0 ? 0U - (uint64_t)number : (uint64_t)number;
  if (number < 0) write_character(writer, '-');
  do {
    digits[count++] = (char)('0' + (int)(rest % 10U));
    rest /= 10U;
  } while (rest > 0);
  while (count > 0) write_character(writer, digits[--count]);
}

void device_auth_write_base64url(device_auth_writer *writer, const uint8_t *bytes, size_t length) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  size_t at;
  for (at = 0; at < length; at += 3) {
    size_t left = length - at;
    uint32_t three = (uint32_t)bytes[at] << 16;
    if (left > 1) three |= (uint32_t)bytes[at + 1] << 8;
    if (left > 2) three |= (uint32_t)bytes[at + 2];
    write_character(writer, alphabet[(three >> 18) & 63U]);
    write_character(writer, alphabet[(three >> 12) & 63U]);
    if (left > 1) write_character(writer, alphabet[(three >> 6) & 63U]);
    if (left > 2) write_character(writer, alphabet[three & 63U]);
  }
}

static bool is_unreserved(unsigned char character) {
  return (character >= 'A' && character <= 'Z') || (character >= 'a' && character <= 'z') ||
         (character >= '0' && character <= '9') || (character != '\0' && strchr("-._*", character) != NULL);
}

void device_auth_write_encoded(device_auth_writer *writer, const char *text) {
  static const char digits[] = "0123456789ABCDEF";
  for (; *text != '\0'; text++) {
    unsigned char character = (unsigned char)*text;
    if (is_unreserved(character)) {
      write_character(writer, (char)character);
      continue;
    }
    write_character(writer, '%');
    write_character(writer, digits[character >> 4]);
    write_character(writer, digits[character & 15U]);
  }
}

bool device_auth_copy(char *to, size_t capacity, const char *from, size_t length) {
  to[0] = '\0';
  if (length >= capacity) return false;
  memcpy(to, from, length);
  to[length] = '\0';
  return true;
}

bool device_auth_is_visible(const char *text) {
  if (*text == '\0') return false;
  for (; *text != '\0'; text++)
    if (*text < 0x21 || *text > 0x7e) return false;
  return true;
}

void device_auth_wipe(void *memory, size_t length) {
  volatile uint8_t *byte = memory;
  while (length-- > 0) *byte++ = 0;
}

uint32_t device_auth_crc32(uint32_t crc, const void *bytes, size_t length) {
  const uint8_t *byte = bytes;
  crc = ~crc;
  while (length-- > 0) {
    int bit;
    crc ^= *byte++;
    for (bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0xedb88320U & (0U - (crc & 1U)));
  }
  return ~crc;
}

/* Two or four digits; -1 for anything else. */
static int read_digits(const char *text, int count) {
  int number = 0;
  for (; count > 0; count--, text++) {
    if (*text < '0' || *text > '9') return -1;
    number = number * 10 + (*text - '0');
  }
  return number;
}

int64_t device_auth_parse_date(const char *text) {
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  int month;
  int day;
  int year;
  int hour;
  int minute;
  int second;
  int64_t days;
  if (strlen(text) != 29 || memcmp(text + 3, ", ", 2) != 0 || text[7] != ' ' || text[11] != ' ' || text[16] != ' ' ||
      text[19] != ':' || text[22] != ':' || strcmp(text + 25, " GMT") != 0)
    return 0;
  for (month = 0; month < 12; month++)
    if (memcmp(months + month * 3, text + 8, 3) == 0) break;
  day = read_digits(text + 5, 2);
  year = read_digits(text + 12, 4);
  hour = read_digits(text + 17, 2);
  minute = read_digits(text + 20, 2);
  second = read_digits(text + 23, 2);
  if (month == 12 || day < 1 || day > 31 || year < 2024 || year > 2099 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
      second < 0 || second > 60)
    return 0;
  /* Days since 1970 in the proleptic Gregorian calendar; the year begins in March, so that the leap day is its last. */
  month += 1;
  year -= month <= 2 ? 1 : 0;
  days = (int64_t)year * 365 + year / 4 - year / 100 + year / 400 + (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1 - 719468;
  return days * 86400 + hour * 3600 + minute * 60 + second;
}

int64_t device_auth_parse_seconds(const char *text, int64_t longest) {
  int64_t seconds = 0;
  if (*text == '\0') return -1;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9') return -1;
    seconds = seconds * 10 + (*text - '0');
    if (seconds > longest) seconds = longest;
  }
  return seconds;
}
