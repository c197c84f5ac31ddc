// What the ring tests share: a check that ends the program, and ring memory of exactly its size on the heap,
// so that the address sanitizer sees the first byte read beside it.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../ring/device_ring.h"
#include "../ring/driver_ring.h"

#define CHECK(condition)                                                             \
  do {                                                                               \
    if (!(condition)) {                                                              \
      std::fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                  \
    }                                                                                \
  } while (0)

namespace ivshmem::ring::test {

class Memory {
 public:
  // A ring of `size` slots, then `data_bytes` bytes (a multiple of 64) for elements and tables.
  Memory(uint32_t size, uint32_t data_bytes) {
    const uint64_t events = (uint64_t{size} * sizeof(Descriptor) + 63) / 64 * 64;
    areas = {0, events, events + 4, size};
    data = events + 64;
    region.size = data + data_bytes;
    region.base = static_cast<std::byte*>(std::aligned_alloc(64, region.size));
    CHECK(region.base != nullptr);
    std::memset(region.base, 0, region.size);
  }
  ~Memory() { std::free(region.base); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  Descriptor* slot(uint32_t index) const {
    return reinterpret_cast<Descriptor*>(region.at(areas.descriptors)) + index;
  }
  EventSuppression* driver_event() const {
    return reinterpret_cast<EventSuppression*>(region.at(areas.driver_event));
  }
  EventSuppression* device_event() const {
    return reinterpret_cast<EventSuppression*>(region.at(areas.device_event));
  }

  Region region;
  Areas areas;
  uint64_t data = 0;  // where elements may lie, bytes from the start
};

}  // namespace ivshmem::ring::test
