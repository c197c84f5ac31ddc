// Interop: driver or device of the test traffic (traffic.h) written straight on the kernel's
// <linux/virtio_ring.h>, sharing nothing with the rings under test. Single-minded: it trusts its partner and
// fails on the first surprise.
#include <errno.h>
#include <linux/virtio_ring.h>
#include <sched.h>
#include <stdbool.h>
#include <time.h>

#include "peer_options.h"

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED (1u << VRING_PACKED_DESC_F_USED)

struct queue {
  const struct traffic_options *options;
  struct traffic_layout layout;
  unsigned char *base;
  struct vring_packed_desc *desc;
  struct vring_packed_desc_event *own, *other;
  uint32_t *own_bell, *other_bell, bell_seen;
  uint32_t rung;
};

static int fail(const char *what, uint32_t sequence) {
  fprintf(stderr, "linux peer: %s at buffer %u\n", what, sequence);
  return 1;
}

static uint16_t flags_of(struct queue *q, uint32_t index) {
  // acquire: pairs with the release of the first slot of a burst on the other side.
  return __atomic_load_n(&q->desc[index].flags, __ATOMIC_ACQUIRE);
}

static bool available(struct queue *q, uint32_t index, bool wrap) {
  const uint16_t flags = flags_of(q, index);
  return !!(flags & AVAIL) == wrap && !!(flags & USED) != wrap;
}

static bool used(struct queue *q, uint32_t index, bool wrap) {
  const uint16_t flags = flags_of(q, index);
  return !!(flags & AVAIL) == wrap && !!(flags & USED) == wrap;
}

// Rings the partner's bell if its event suppression structure asks for it; `index` is past the last of
// `moved` slots.
static void notify(struct queue *q, uint32_t index, bool wrap, uint32_t moved) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);  // pairs with the fence in await(), there or in its twin
  struct vring_packed_desc_event event;
  const uint32_t word = __atomic_load_n((uint32_t *)q->other, __ATOMIC_RELAXED);
  memcpy(&event, &word, sizeof(event));
  bool wanted = event.flags != VRING_PACKED_EVENT_FLAG_DISABLE;
  if (event.flags == VRING_PACKED_EVENT_FLAG_DESC) {
    uint16_t at = event.off_wrap & (uint16_t) ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);
    if ((event.off_wrap >> VRING_PACKED_EVENT_F_WRAP_CTR) != wrap) at = (uint16_t)(at - q->options->size);
    wanted = vring_need_event(at, (uint16_t)index, (uint16_t)(index - moved));
  }
  if (!wanted) return;
  __atomic_fetch_add(q->other_bell, 1, __ATOMIC_RELEASE);
  q->rung++;
}

static void set_event(struct queue *q, uint16_t flags, uint16_t off_wrap) {
  struct vring_packed_desc_event event = {.off_wrap = off_wrap, .flags = flags};
  uint32_t word;
  memcpy(&word, &event, sizeof(word));
  __atomic_store_n((uint32_t *)q->own, word, __ATOMIC_RELAXED);
}

// Waits until slot `index` is available (or used); every second time it sleeps on DESC, otherwise on ENABLE.
static bool await(struct queue *q, bool (*ready)(struct queue *, uint32_t, bool), uint32_t index, bool wrap) {
  const time_t deadline = time(NULL) + 30;
  while (!ready(q, index, wrap)) {
    if (time(NULL) > deadline) return false;
    if (!q->options->events) {
      sched_yield();
      continue;
    }
    if (index % 2) {
      set_event(q, VRING_PACKED_EVENT_FLAG_ENABLE, 0);
    } else {
      set_event(q, VRING_PACKED_EVENT_FLAG_DESC,
                (uint16_t)(index | (uint32_t)wrap << VRING_PACKED_EVENT_F_WRAP_CTR));
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);  // pairs with the fence in notify(), there or in its twin
    if (ready(q, index, wrap)) break;
    uint32_t now;
    while ((now = __atomic_load_n(q->own_bell, __ATOMIC_ACQUIRE)) == q->bell_seen) {
      if (time(NULL) > deadline) return false;
      sched_yield();
    }
    q->bell_seen = now;
  }
  if (q->options->events) set_event(q, VRING_PACKED_EVENT_FLAG_DISABLE, 0);
  return true;
}

static void advance(const struct queue *q, uint32_t *index, bool *wrap, uint32_t count) {
  *index += count;
  if (*index >= q->options->size) {
    *index -= q->options->size;
    *wrap = !*wrap;
  }
}

static int drive(struct queue *q) {
  const struct traffic_options *o = q->options;
  uint32_t *slots = calloc(o->size, sizeof(*slots));  // of each outstanding buffer, by sequence % size
  if (slots == NULL) return fail("no memory", 0);
  uint32_t next = 0, used_at = 0, unused = o->size, added = 0, completed = 0, random = o->seed | 1;
  bool wrap = true, used_wrap = true;
  int result = 0;
  while (result == 0 && completed < o->count) {
    uint32_t moved = 0, first = 0;
    uint16_t first_flags = 0;
    for (uint32_t burst = 1 + traffic_next(&random) % o->batch; burst > 0 && added < o->count; burst--) {
      const struct traffic_buffer b = traffic_nth(o, added);
      const uint32_t elements = b.readable + b.writable, count = b.indirect ? 1 : elements;
      if (unused < count || added - completed == o->size) break;
      traffic_fill(&b, q->base, 1);
      const uint64_t table = q->layout.tables + (uint64_t)(added % o->size) * TRAFFIC_TABLE_BYTES;
      struct vring_packed_desc *entries = (struct vring_packed_desc *)(q->base + table);
      for (uint32_t i = 0; i < elements; i++) {
        struct vring_packed_desc d = {.addr = b.addr[i], .len = b.len[i], .id = (uint16_t)(added % o->size)};
        d.flags = i < b.readable ? 0 : VRING_DESC_F_WRITE;
        if (b.indirect) {
          d.id = 0;
          entries[i] = d;
          if (i + 1 < elements) continue;
          d = (struct vring_packed_desc){
              .addr = table, .len = elements * sizeof(d), .flags = VRING_DESC_F_INDIRECT};
          d.id = (uint16_t)(added % o->size);
        } else if (i + 1 < elements) {
          d.flags |= VRING_DESC_F_NEXT;
          d.id = 0;  // only the last one's counts
        }
        d.flags |= wrap ? AVAIL : USED;
        q->desc[next].addr = d.addr;
        q->desc[next].len = d.len;
        q->desc[next].id = d.id;
        if (moved == 0) {
          first = next;
          first_flags = d.flags;
        } else {
          q->desc[next].flags = d.flags;
        }
        moved++;
        advance(q, &next, &wrap, 1);
      }
      slots[added % o->size] = count;
      unused -= count;
      added++;
    }
    if (moved > 0) {
      __atomic_store_n(&q->desc[first].flags, first_flags,
                       __ATOMIC_RELEASE);  // pairs with the device's acquire
      notify(q, next, wrap, moved);
    }
    const bool full = unused < TRAFFIC_ELEMENTS || added - completed == o->size || added == o->count;
    if (full && !await(q, used, used_at, used_wrap))
      result = fail("no used buffer before the deadline", completed);
    while (result == 0 && completed < added && used(q, used_at, used_wrap)) {
      const struct vring_packed_desc d = q->desc[used_at];
      // The batch reaches up to the buffer with this id; all of them were used completely.
      uint32_t batch = 0;
      for (bool last = false; !last && result == 0; batch++) {
        if (completed == added) {
          result = fail("a used id that is not outstanding", completed);
          break;
        }
        last = completed % o->size == d.id;
        const struct traffic_buffer b = traffic_nth(o, completed);
        const uint32_t written = d.flags & VRING_DESC_F_WRITE ? d.len : 0;
        if (last && written != traffic_written(&b)) result = fail("wrong used length", completed);
        if (!traffic_check(&b, q->base, 0)) result = fail("wrong bytes written", completed);
        unused += slots[completed % o->size];
        advance(q, &used_at, &used_wrap, slots[completed % o->size]);
        completed++;
      }
    }
  }
  free(slots);
  return result;
}

static int serve(struct queue *q) {
  const struct traffic_options *o = q->options;
  uint32_t at = 0, used_at = 0, completed = 0, random = ~o->seed | 1;
  bool wrap = true, used_wrap = true;
  while (completed < o->count) {
    if (!await(q, available, at, wrap)) return fail("no available buffer before the deadline", completed);
    // Takes a batch of what is there, then hands it back by one used descriptor in the batch's first slot.
    uint32_t slots = 0, written = 0, most = 1 + traffic_next(&random) % o->batch;
    uint16_t id = 0;
    for (; most > 0 && slots < o->size && completed < o->count && available(q, at, wrap);
         most--, completed++) {
      const struct traffic_buffer b = traffic_nth(o, completed);
      const uint32_t elements = b.readable + b.writable;
      const struct vring_packed_desc *table = NULL;
      if (q->desc[at].flags & VRING_DESC_F_INDIRECT) {
        if (q->desc[at].len != elements * sizeof(*table)) return fail("wrong table length", completed);
        table = (const struct vring_packed_desc *)(q->base + q->desc[at].addr);
      }
      if ((table != NULL) != (b.indirect != 0))
        return fail("a table where none should be, or none", completed);
      for (uint32_t i = 0; i < elements; i++) {
        const struct vring_packed_desc d = table ? table[i] : q->desc[at];
        if (d.addr != b.addr[i] || d.len != b.len[i]) return fail("wrong element", completed);
        if (!(d.flags & VRING_DESC_F_WRITE) != (i < b.readable)) return fail("wrong direction", completed);
        const bool more = !table && i + 1 < elements;
        if (!table && !!(d.flags & VRING_DESC_F_NEXT) != more) return fail("wrong chain", completed);
        id = q->desc[at].id;
        if (more || i + 1 == elements) {
          advance(q, &at, &wrap, 1);
          slots++;
        }
      }
      if (!traffic_check(&b, q->base, 1)) return fail("wrong bytes read", completed);
      traffic_fill(&b, q->base, 0);
      written = traffic_written(&b);
    }
    struct vring_packed_desc *d = &q->desc[used_at];
    d->id = id;
    d->len = written;
    const uint16_t flags = (uint16_t)((used_wrap ? AVAIL | USED : 0) | (written ? VRING_DESC_F_WRITE : 0));
    __atomic_store_n(&d->flags, flags, __ATOMIC_RELEASE);  // pairs with the driver's acquire of the used slot
    advance(q, &used_at, &used_wrap, slots);
    notify(q, used_at, used_wrap, slots);
  }
  return 0;
}

int main(int argc, char **argv) {
  struct traffic_options options;
  int device = 0;
  unsigned char *base = peer_open(argc, argv, &options, &device);
  if (base == NULL) return 1;
  struct queue q = {.options = &options, .layout = traffic_place(options.size), .base = base};
  q.desc = (struct vring_packed_desc *)base;
  q.own = (struct vring_packed_desc_event *)(base + (device ? q.layout.device_event : q.layout.driver_event));
  q.other =
      (struct vring_packed_desc_event *)(base + (device ? q.layout.driver_event : q.layout.device_event));
  q.own_bell = (uint32_t *)(base + (device ? q.layout.device_bell : q.layout.driver_bell));
  q.other_bell = (uint32_t *)(base + (device ? q.layout.driver_bell : q.layout.device_bell));
  if (options.events) set_event(&q, VRING_PACKED_EVENT_FLAG_DISABLE, 0);
  const int result = device ? serve(&q) : drive(&q);
  if (result == 0) printf("%u buffers, rang %u times\n", options.count, q.rung);
  return result;
}
