// Hostile partner: driver and device work while a third thread scribbles over ring, event areas, tables and
// data, both at random and with values made to pass the first checks. Nothing may crash, hang, or be seen
// outside the region; a ring that broke is made anew on the memory as it lies. Every shared byte is reached
// by relaxed atomics, so that a report of the thread sanitizer is a fault of the rings.
#include <unistd.h>

#include <array>
#include <thread>

#include "test_memory.h"
#include "traffic.h"

namespace {

using namespace ivshmem::ring;
using ivshmem::ring::test::Memory;

constexpr uint32_t kData = 4096;
using Counts = std::array<uint64_t, 8>;  // by Violation

uint64_t sum(Region region, const Element& element) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < element.len; i++)
    total += std::atomic_ref<uint8_t>(*reinterpret_cast<uint8_t*>(region.at(element.addr + i)))
                 .load(std::memory_order_relaxed);
  return total;
}

void write(Region region, const Element& element, uint8_t value) {
  for (uint32_t i = 0; i < element.len; i++)
    std::atomic_ref<uint8_t>(*reinterpret_cast<uint8_t*>(region.at(element.addr + i)))
        .store(value, std::memory_order_relaxed);
}

void corrupt(const Memory& memory, uint32_t seed, const std::atomic<bool>& stop) {
  uint32_t x = seed;
  const auto store = [&](uint64_t at, uint64_t value) {
    std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(memory.region.at(at / 8 * 8)))
        .store(value, std::memory_order_relaxed);
  };
  while (!stop.load(std::memory_order_relaxed)) {
    const uint64_t value = uint64_t{traffic_next(&x)} << 32 | traffic_next(&x);
    const uint32_t slot = traffic_next(&x) % memory.areas.size;
    switch (traffic_next(&x) % 6) {
      case 0:
        store(value % memory.region.size, value);
        break;
      case 1:  // an address just inside or just outside
        store(slot * 16, memory.region.size - 64 + traffic_next(&x) % 128);
        break;
      case 2: {  // a tail with one of the four AVAIL/USED pairs, small length and id
        const Tail tail{traffic_next(&x) % 128,
                        static_cast<uint16_t>(traffic_next(&x) % (memory.areas.size + 1)),
                        static_cast<uint16_t>((traffic_next(&x) & (kAvail | kUsed)) | traffic_next(&x) % 8)};
        store(slot * 16 + 8, tail.pack());
        break;
      }
      case 3:  // an event suppression structure
        std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(memory.region.at(
                                      x & 1 ? memory.areas.driver_event : memory.areas.device_event)))
            .store(static_cast<uint32_t>(value) & 0x3ffff, std::memory_order_relaxed);
        break;
      case 4:  // a table entry
        store(memory.data + value % kData, value & 1 ? memory.data : 64 | (value & (uint64_t{7} << 48)));
        break;
      default:
        store(slot * 16, memory.data + value % kData / 16 * 16);
    }
    if (traffic_next(&x) % 64 == 0) sched_yield();
  }
}

void check(const Memory& memory, const Element& element) {
  CHECK(element.len <= memory.region.size && element.addr <= memory.region.size - element.len);
}

void drive(const Memory& memory, uint32_t steps, Counts* counts) {
  uint32_t x = 77;
  uint64_t cookie = 0, expected = 0;
  auto ring = std::make_unique<DriverRing>(memory.region, memory.areas);
  for (uint32_t i = 0; i < steps; i++) {
    Element elements[3];
    const uint32_t count = 1 + traffic_next(&x) % 3;
    for (uint32_t k = 0; k < count; k++)
      elements[k] = {memory.data + traffic_next(&x) % (kData - 64), traffic_next(&x) % 64, k == 2};
    const std::span<const Element> buffer(elements, count);
    const uint64_t table = memory.data + traffic_next(&x) % (kData - 64) / 16 * 16;
    if (traffic_next(&x) & 1 ? ring->add(buffer, cookie) : ring->add_indirect(buffer, table, cookie))
      cookie++;
    ring->publish();
    if (ring->needs_notification() || ring->enable_notifications(x % 3)) ring->disable_notifications();
    UsedBuffer used[4];
    const size_t taken = ring->take_used(used);
    for (size_t k = 0; k < taken; k++) CHECK(used[k].cookie == expected++ && used[k].written <= 64);
    CHECK(ring->free_descriptors() <= ring->size() && ring->outstanding() <= ring->size());
    // A ring that is stuck because its partner started over is as broken as one that was lied to.
    if (ring->broken() || traffic_next(&x) % 64 == 0) {
      (*counts)[static_cast<size_t>(ring->violation())]++;
      ring = std::make_unique<DriverRing>(memory.region, memory.areas);
      expected = cookie;
    }
    if (taken == 0) sched_yield();
  }
}

void serve(const Memory& memory, uint32_t steps, Counts* counts) {
  uint32_t x = 99;
  uint64_t total = 0;
  auto ring = std::make_unique<DeviceRing>(memory.region, memory.areas);
  for (uint32_t i = 0; i < steps; i++) {
    AvailableBuffer buffers[4];
    const size_t taken = ring->take(buffers);
    for (size_t k = 0; k < taken; k++) {
      const AvailableBuffer& buffer = buffers[k];
      CHECK(!buffer.elements.empty() && buffer.elements.size() <= ring->size() &&
            buffer.readable <= buffer.elements.size());
      for (const Element& element : buffer.elements) {
        check(memory, element);
        if (element.writable) {
          write(memory.region, element, 0x5a);
        } else {
          total += sum(memory.region, element);
        }
      }
    }
    CHECK(ring->outstanding() <= ring->size());
    if (ring->outstanding() > 0 && traffic_next(&x) & 1)
      CHECK(ring->broken() || ring->add_used(1 + x % ring->outstanding(), 0));
    ring->publish();
    if (ring->needs_notification() || ring->enable_notifications(x % 3)) ring->disable_notifications();
    if (ring->broken() || traffic_next(&x) % 64 == 0) {
      (*counts)[static_cast<size_t>(ring->violation())]++;
      ring = std::make_unique<DeviceRing>(memory.region, memory.areas);
    }
    if (taken == 0) sched_yield();
  }
  std::printf("read a sum of %llu\n", static_cast<unsigned long long>(total));
}

void report(const char* role, const Counts& counts) {
  for (size_t i = 0; i < counts.size(); i++)
    std::printf("%s: %s %llu\n", role, name(static_cast<Violation>(i)),
                static_cast<unsigned long long>(counts[i]));
}

}  // namespace

// The argument is the number of steps of each side.
int main(int argc, char** argv) {
  const uint32_t steps = argc > 1 ? static_cast<uint32_t>(std::strtoul(argv[1], nullptr, 10)) : 100000;
  alarm(240);  // a hang ends as SIGALRM
  Counts driver_counts{}, device_counts{};
  for (uint32_t size : {1u, 8u, 64u}) {
    Memory memory(size, kData);
    std::atomic<bool> stop = false;
    std::thread corruptor([&] { corrupt(memory, size, stop); });
    std::thread device([&] { serve(memory, steps, &device_counts); });
    drive(memory, steps, &driver_counts);
    device.join();
    stop.store(true, std::memory_order_relaxed);
    corruptor.join();
  }
  report("driver", driver_counts);
  report("device", device_counts);
  // The attack must have got through to the checks, or this test shows nothing.
  for (Violation v : {Violation::kBufferId, Violation::kUsedLength})
    CHECK(driver_counts[static_cast<size_t>(v)] > 0);
  for (Violation v :
       {Violation::kAddress, Violation::kFlags, Violation::kChainLength, Violation::kIndirectTable})
    CHECK(device_counts[static_cast<size_t>(v)] > 0);
  return 0;
}
