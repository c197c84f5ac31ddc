// The traffic of the interop and stress tests, in C so that every implementation shares it: where things lie
// in the file the two processes map, and what buffer number `sequence` looks like and contains, from the seed
// alone.
//
//   at                       bytes        what
//   0                        16 * N       descriptor ring, N = queue size
//   events = up64(16 * N)    4            driver event suppression
//   events + 64              4            device event suppression
//   events + 128             4            driver bell: the device adds 1 to notify the driver
//   events + 192             4            device bell: the driver adds 1 to notify the device
//   tables = events + 256    64 * N       indirect tables of 4 entries, one for each slot
//   data   = tables + 64*N   1024 * N     elements; element k of buffer `sequence` at 1024 * (sequence % N) +
//   256 * k
//
// Numbers: xorshift32 (13, 17, 5) started from (seed ^ (sequence + 1) * 0x9e3779b1), or from 1 where that is
// 0. Drawn in this order: readable elements 1 + x % 3 and writable elements x % 2 (1 and 0 if neither chained
// nor indirect), a table if x & 1 (drawn always; obeyed if both chained and indirect, else the one allowed
// form is taken); lists longer than the queue are cut to one readable element; then a length 1 + x % 256 for
// each element. Then one byte x & 255 for each byte, element after element: the driver has put them into the
// readable elements, the device puts them into the writable ones, which it always fills.
#ifndef IVSHMEM_TEST_TRAFFIC_H
#define IVSHMEM_TEST_TRAFFIC_H

#include <stdint.h>

enum {
  TRAFFIC_ELEMENTS = 4,
  TRAFFIC_ELEMENT_BYTES = 256,
  TRAFFIC_BUFFER_BYTES = 1024,
  TRAFFIC_TABLE_BYTES = 64
};

struct traffic_layout {
  uint32_t size;
  uint64_t driver_event, device_event, driver_bell, device_bell, tables, data, bytes;
};

static inline struct traffic_layout traffic_place(uint32_t size) {
  struct traffic_layout l;
  const uint64_t events = ((uint64_t)size * 16 + 63) / 64 * 64;
  l.size = size;
  l.driver_event = events;
  l.device_event = events + 64;
  l.driver_bell = events + 128;
  l.device_bell = events + 192;
  l.tables = events + 256;
  l.data = l.tables + (uint64_t)size * TRAFFIC_TABLE_BYTES;
  l.bytes = l.data + (uint64_t)size * TRAFFIC_BUFFER_BYTES;
  return l;
}

struct traffic_options {
  uint32_t size;   // slots
  uint32_t count;  // buffers in all
  uint32_t seed;   // of the content
  uint32_t batch;  // most buffers published at once, and handed back by one used descriptor
  int chained;     // buffers may be chains
  int indirect;    // buffers may be indirect tables
  int events;      // sleep until the bell is rung, by event suppression, rather than poll the ring
};

static inline uint32_t traffic_next(uint32_t *x) {
  *x ^= *x << 13;
  *x ^= *x >> 17;
  *x ^= *x << 5;
  return *x;
}

struct traffic_buffer {
  uint32_t random;  // where the bytes start
  uint32_t readable, writable, indirect;
  uint64_t addr[TRAFFIC_ELEMENTS];
  uint32_t len[TRAFFIC_ELEMENTS];
};

static inline struct traffic_buffer traffic_nth(const struct traffic_options *o, uint32_t sequence) {
  const struct traffic_layout l = traffic_place(o->size);
  struct traffic_buffer b;
  uint32_t x = o->seed ^ (sequence + 1) * 0x9e3779b1u;
  if (x == 0) x = 1;
  b.readable = 1 + traffic_next(&x) % 3;
  b.writable = traffic_next(&x) % 2;
  b.indirect = traffic_next(&x) & 1;
  if (!o->chained && !o->indirect) {
    b.readable = 1;
    b.writable = 0;
  }
  if (!o->chained || !o->indirect) b.indirect = (uint32_t)o->indirect;
  // No list may be longer than the queue (§2.8.5), a table neither; such small queues cut it.
  if (b.readable + b.writable > o->size) {
    b.readable = 1;
    b.writable = 0;
  }
  for (uint32_t i = 0; i < b.readable + b.writable; i++) {
    b.addr[i] =
        l.data + (uint64_t)(sequence % o->size) * TRAFFIC_BUFFER_BYTES + (uint64_t)i * TRAFFIC_ELEMENT_BYTES;
    b.len[i] = 1 + traffic_next(&x) % TRAFFIC_ELEMENT_BYTES;
  }
  b.random = x;
  return b;
}

// The bytes the writable elements end up with: what a driver expects in the length of a used descriptor.
static inline uint32_t traffic_written(const struct traffic_buffer *b) {
  uint32_t bytes = 0;
  for (uint32_t i = b->readable; i < b->readable + b->writable; i++) bytes += b->len[i];
  return bytes;
}

// Writes the bytes of the readable (or else the writable) elements.
static inline void traffic_fill(const struct traffic_buffer *b, unsigned char *base, int readable) {
  uint32_t x = b->random;
  for (uint32_t i = 0; i < b->readable + b->writable; i++)
    for (uint32_t k = 0; k < b->len[i]; k++) {
      const unsigned char byte = (unsigned char)traffic_next(&x);
      if ((i < b->readable) == (readable != 0)) base[b->addr[i] + k] = byte;
    }
}

// Whether the readable (or else the writable) elements hold the bytes they should.
static inline int traffic_check(const struct traffic_buffer *b, const unsigned char *base, int readable) {
  uint32_t x = b->random, wrong = 0;
  for (uint32_t i = 0; i < b->readable + b->writable; i++)
    for (uint32_t k = 0; k < b->len[i]; k++) {
      const unsigned char byte = (unsigned char)traffic_next(&x);
      if ((i < b->readable) == (readable != 0) && base[b->addr[i] + k] != byte) wrong++;
    }
  return wrong == 0;
}

#endif
