// Driver and device of the test traffic on the C++ rings. `Bell` is how one side sleeps and the other wakes
// it: ring(), and wait() which returns false when the deadline has passed without a ring.
#pragma once

#include <sched.h>

#include <chrono>
#include <cstdio>
#include <vector>

#include "../ring/device_ring.h"
#include "../ring/driver_ring.h"
#include "traffic.h"

namespace ivshmem::ring::test {

inline constexpr std::chrono::seconds kDeadline{30};

inline Areas areas_of(const traffic_options& options) {
  const traffic_layout layout = traffic_place(options.size);
  return {0, layout.driver_event, layout.device_event, options.size};
}

inline bool fail(const char* role, const char* what, uint32_t sequence) {
  std::fprintf(stderr, "%s: %s at buffer %u\n", role, what, sequence);
  return false;
}

// Waits for `ready`: polls with a yield, or by event suppression and the bell. `arm` is
// enable_notifications().
template <typename Bell, typename Ready, typename Arm>
bool await(const traffic_options& options, Bell& bell, Ready ready, Arm arm) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (!ready()) {
    if (!options.events) {
      sched_yield();
    } else if (!arm() && !bell.wait(deadline)) {
      return false;  // asleep beside a full ring or beside a dead partner: either way the test fails
    }
    if (std::chrono::steady_clock::now() > deadline) return false;
  }
  return true;
}

template <typename Bell>
bool run_driver(const traffic_options& options, Region region, Bell& own, Bell& partner) {
  const traffic_layout layout = traffic_place(options.size);
  auto* bytes = reinterpret_cast<unsigned char*>(region.base);
  DriverRing ring(region, areas_of(options));
  std::vector<UsedBuffer> used(options.batch);
  uint32_t added = 0, completed = 0, random = options.seed | 1;
  if (options.events) ring.disable_notifications();
  while (completed < options.count) {
    for (uint32_t burst = 1 + traffic_next(&random) % options.batch; burst > 0 && added < options.count;
         burst--) {
      const struct traffic_buffer b = traffic_nth(&options, added);
      Element elements[TRAFFIC_ELEMENTS];
      const uint32_t count = b.readable + b.writable;
      // The place of a buffer's data is free again once the buffer one lap before it has come back.
      if (ring.outstanding() == options.size || ring.free_descriptors() < (b.indirect ? 1 : count)) break;
      for (uint32_t i = 0; i < count; i++) elements[i] = {b.addr[i], b.len[i], i >= b.readable};
      traffic_fill(&b, bytes, 1);
      const uint64_t table = layout.tables + uint64_t{added % options.size} * TRAFFIC_TABLE_BYTES;
      const bool tag = added % 3 == 0;
      const bool done = b.indirect ? ring.add_indirect({elements, count}, table, added, tag)
                                   : ring.add({elements, count}, added, tag);
      if (!done) return fail("driver", "refused to add", added);
      added++;
    }
    ring.publish();
    if (ring.needs_notification()) partner.ring();
    const bool full = ring.outstanding() == options.size || ring.free_descriptors() < TRAFFIC_ELEMENTS;
    if ((added == options.count || full) &&
        !await(
            options, own, [&] { return ring.has_used() || ring.broken(); },
            [&] { return ring.enable_notifications(traffic_next(&random) % 2 * (ring.outstanding() / 2)); }))
      return fail("driver", "no used buffer before the deadline", completed);
    if (options.events) ring.disable_notifications();
    const size_t taken = ring.take_used(used);
    for (size_t i = 0; i < taken; i++, completed++) {
      const struct traffic_buffer b = traffic_nth(&options, completed);
      if (used[i].cookie != completed) return fail("driver", "buffers came back out of order", completed);
      if (used[i].written != traffic_written(&b)) return fail("driver", "wrong used length", completed);
      if (!traffic_check(&b, bytes, 0)) return fail("driver", "wrong bytes written", completed);
    }
    if (ring.broken()) return fail("driver", name(ring.violation()), completed);
  }
  return true;
}

template <typename Bell>
bool run_device(const traffic_options& options, Region region, Bell& own, Bell& partner) {
  auto* bytes = reinterpret_cast<unsigned char*>(region.base);
  DeviceRing ring(region, areas_of(options));
  std::vector<AvailableBuffer> buffers(options.batch);
  uint32_t completed = 0, random = ~options.seed | 1;
  if (options.events) ring.disable_notifications();
  while (completed < options.count) {
    if (!await(
            options, own, [&] { return ring.has_available() || ring.broken(); },
            [&] { return ring.enable_notifications(); }))
      return fail("device", "no available buffer before the deadline", completed);
    if (options.events) ring.disable_notifications();
    const size_t taken = ring.take(buffers);
    for (size_t i = 0; i < taken; i++) {
      const struct traffic_buffer b = traffic_nth(&options, completed + static_cast<uint32_t>(i));
      if (buffers[i].elements.size() != b.readable + b.writable || buffers[i].readable != b.readable)
        return fail("device", "wrong number of elements", completed);
      for (uint32_t k = 0; k < b.readable + b.writable; k++)
        if (buffers[i].elements[k].addr != b.addr[k] || buffers[i].elements[k].len != b.len[k])
          return fail("device", "wrong element", completed);
      if (!traffic_check(&b, bytes, 1)) return fail("device", "wrong bytes read", completed);
      traffic_fill(&b, bytes, 0);
    }
    for (uint32_t left = static_cast<uint32_t>(taken); left > 0;) {
      const uint32_t batch = 1 + traffic_next(&random) % left;
      const struct traffic_buffer last = traffic_nth(&options, completed + batch - 1);
      if (!ring.add_used(batch, traffic_written(&last))) return fail("device", "refused to use", completed);
      completed += batch;
      left -= batch;
      if (traffic_next(&random) % 2 == 0) ring.publish();
    }
    ring.publish();
    if (ring.needs_notification()) partner.ring();
    if (ring.broken()) return fail("device", name(ring.violation()), completed);
  }
  return true;
}

}  // namespace ivshmem::ring::test
