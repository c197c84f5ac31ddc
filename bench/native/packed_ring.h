// A bare packed virtqueue (VIRTIO 1.3 §2.8) with IN_ORDER (§2.8.12), one buffer per descriptor, no
// notifications, no checks: what a ring of this shape can do at best, with trusted peers and polling on both
// sides.
#pragma once
#include "pair.h"

#define AVAIL (1u << 7)    // VIRTQ_DESC_F_AVAIL
#define USED (1u << 15)    // VIRTQ_DESC_F_USED
#define WRITE_F (1u << 1)  // VIRTQ_DESC_F_WRITE

struct desc {
  uint64_t addr;
  uint32_t len;
  uint16_t id;
  _Atomic uint16_t flags;
};
_Static_assert(sizeof(struct desc) == 16, "VIRTIO 1.3 §2.8.13: 16 bytes");

// Both sides' private state. The ring's size is a power of two so that buffers stay matched to slots.
struct side {
  struct desc *ring;
  unsigned char *data;
  uint32_t size, stride;
  uint32_t next;       // next slot to make available (driver) or to look at (device)
  uint16_t wrap;       // wrap counter of `next`, 0 or 1
  uint32_t used;       // driver: slot of the next used descriptor
  uint16_t used_wrap;  // driver: its wrap counter
  uint32_t free;       // driver: buffers it may fill
};

static inline struct side make_side(void *ring, void *data, uint32_t size, uint32_t stride) {
  return (struct side){ring, data, size, stride, 0, 1, 0, 1, size};
}

static inline unsigned char *buffer(const struct side *s, uint32_t slot) {
  return s->data + (size_t)slot * s->stride;
}

static inline uint16_t available_flags(uint16_t wrap) { return wrap ? AVAIL : USED; }

// §2.8.1: available when the AVAIL bit equals the wrap counter and USED does not; used when both equal it.
static inline int is_available(uint16_t flags, uint16_t wrap) {
  return (flags & (AVAIL | USED)) == (wrap ? AVAIL : USED);
}
static inline int is_used(uint16_t flags, uint16_t wrap) {
  return (flags & (AVAIL | USED)) == (wrap ? (AVAIL | USED) : 0);
}

// Driver: takes used descriptors until `want` buffers are free. One used descriptor stands for all up to its
// id (§2.8.7, IN_ORDER).
static inline void reclaim(struct side *s, uint32_t want) {
  while (s->free < want) {
    struct desc *d = &s->ring[s->used];
    // acquire: pairs with the release in give_back().
    while (!is_used(atomic_load_explicit(&d->flags, memory_order_acquire), s->used_wrap)) {
    }
    uint32_t n = ((d->id - s->used) & (s->size - 1)) + 1;
    s->used += n;
    if (s->used >= s->size) {
      s->used -= s->size;
      s->used_wrap ^= 1;
    }
    s->free += n;
  }
}

// Driver: makes `n` filled buffers from `next` on available. The first descriptor's flags go last, so that
// the device sees the batch whole and the line it polls is written once (§2.8.21 allows any order that ends
// with the first).
static inline void make_available(struct side *s, uint32_t n) {
  uint32_t slot = s->next, first = slot;
  uint16_t wrap = s->wrap, first_flags = available_flags(wrap);
  for (uint32_t i = 0; i < n; i++) {
    struct desc *d = &s->ring[slot];
    d->addr = (uint64_t)slot * s->stride;
    d->len = s->stride;
    d->id = (uint16_t)slot;
    if (i) atomic_store_explicit(&d->flags, available_flags(wrap), memory_order_relaxed);
    if (++slot == s->size) {
      slot = 0;
      wrap ^= 1;
    }
  }
  // release: pairs with the acquire in wait_available().
  atomic_store_explicit(&s->ring[first].flags, first_flags, memory_order_release);
  s->next = slot;
  s->wrap = wrap;
  s->free -= n;
}

static inline int peek_available(const struct side *s) {
  // acquire: pairs with the release in make_available().
  return is_available(atomic_load_explicit(&s->ring[s->next].flags, memory_order_acquire), s->wrap);
}

static inline void wait_available(const struct side *s) {
  while (!peek_available(s)) {
  }
}

// Device: gives back `n` buffers that end at slot `last` and started at `first`, by one used descriptor.
static inline void give_back(struct side *s, uint32_t first, uint16_t first_wrap, uint32_t last) {
  struct desc *d = &s->ring[first];
  d->id = (uint16_t)last;
  // release: pairs with the acquire in reclaim(); our reads of the buffers are done.
  atomic_store_explicit(&d->flags, first_wrap ? (AVAIL | USED) : 0, memory_order_release);
}

static inline void step_device(struct side *s) {
  if (++s->next == s->size) {
    s->next = 0;
    s->wrap ^= 1;
  }
}
