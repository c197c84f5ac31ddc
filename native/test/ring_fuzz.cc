// Fuzz target: the input is a queue size, an image of the shared memory, and a program of calls and of writes
// into that memory, run against both rings. Invariants are checked after every call. Built with
// -fsanitize=fuzzer it is a libFuzzer target; otherwise main() walks it over inputs from a fixed generator:
// ring_fuzz_asan [RUNS [SEED]].
#include <algorithm>
#include <array>

#include "test_memory.h"
#include "traffic.h"

namespace {

using namespace ivshmem::ring;
using ivshmem::ring::test::Memory;

constexpr uint32_t kData = 512;
volatile uint64_t digest_of_reads;  // keeps the compiler from dropping the reads of a buffer

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return at_ == size_; }
  uint8_t byte() { return at_ < size_ ? data_[at_++] : 0; }
  uint32_t u16() {
    const uint32_t low = byte();
    return low | uint32_t{byte()} << 8;
  }
  uint64_t u64() { return u16() | uint64_t{u16()} << 16 | uint64_t{u16()} << 32 | uint64_t{u16()} << 48; }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

struct Machine {
  explicit Machine(uint32_t size)
      : memory(size, kData), driver(memory.region, memory.areas), device(memory.region, memory.areas) {}

  void add(Input& input) {
    std::array<Element, 4> elements;
    const uint32_t count = 1 + input.byte() % 4;
    for (uint32_t i = 0; i < count; i++)
      elements[i] = {memory.data + input.u16() % (kData + 8), input.byte(), (input.byte() & 1) != 0};
    const std::span<const Element> buffer(elements.data(), count);
    const uint32_t before = driver.free_descriptors();
    const bool indirect = (input.byte() & 1) != 0;
    const bool done = indirect ? driver.add_indirect(buffer, memory.data + input.u16() % kData, added)
                               : driver.add(buffer, added);
    CHECK(before - driver.free_descriptors() == (done ? (indirect ? 1 : count) : 0));
    if (done) added++;
  }

  void take(Input& input) {
    std::array<AvailableBuffer, 4> buffers;
    const size_t taken = device.take({buffers.data(), size_t{1} + input.byte() % 4});
    for (size_t n = 0; n < taken; n++) {
      const AvailableBuffer& buffer = buffers[n];
      CHECK(buffer.id < memory.areas.size && !buffer.elements.empty() &&
            buffer.elements.size() <= memory.areas.size);
      for (size_t i = 0; i < buffer.elements.size(); i++) {
        const Element& element = buffer.elements[i];
        CHECK(element.len <= memory.region.size && element.addr <= memory.region.size - element.len);
        CHECK(element.writable == (i >= buffer.readable));
        // The address sanitizer judges whether the memory really is there.
        if (element.writable) {
          std::memset(memory.region.at(element.addr), input.byte(), element.len);
        } else {
          for (uint32_t k = 0; k < element.len; k++)
            digest += static_cast<uint8_t>(*memory.region.at(element.addr + k));
        }
      }
    }
  }

  void take_used(Input& input) {
    std::array<UsedBuffer, 4> used;
    const size_t taken = driver.take_used({used.data(), size_t{1} + input.byte() % 4});
    for (size_t k = 0; k < taken; k++) CHECK(used[k].cookie == completed++ && used[k].written <= 4 * 255);
  }

  void step(Input& input) {
    switch (input.byte() % 11) {
      case 0:
        return add(input);
      case 1:
        return driver.publish();
      case 2:
        return take(input);
      case 3: {
        const uint32_t count = input.byte() % 8, before = device.outstanding();
        const bool done = device.add_used(count, input.byte());
        CHECK(before - device.outstanding() == (done ? count : 0));
        return;
      }
      case 4:
        return device.publish();
      case 5:
        return take_used(input);
      case 6:
        CHECK(!driver.needs_notification() ||
              !driver.needs_notification());  // the same slots are told of once
        CHECK(!device.needs_notification() || !device.needs_notification());
        return;
      case 7:
        CHECK(driver.enable_notifications(input.byte()) == driver.has_used());
        CHECK(device.enable_notifications(input.byte()) == device.has_available());
        return;
      case 8:
        driver.disable_notifications();
        return device.disable_notifications();
      case 9: {  // write anywhere
        const uint64_t at = input.u16() % (memory.region.size / 8) * 8, value = input.u64();
        std::memcpy(memory.region.at(at), &value, sizeof(value));
        return;
      }
      default: {  // write a descriptor that is likely to be believed
        const uint32_t bits = input.byte(), slot = input.byte() % memory.areas.size;
        const auto flags =
            static_cast<uint16_t>((bits & 7) | (bits & 8 ? kAvail : 0) | (bits & 16 ? kUsed : 0));
        *memory.slot(slot) = {memory.data + input.u16() % (kData + 8), input.byte(),
                              static_cast<uint16_t>(input.byte() % 9), flags};
      }
    }
  }

  Memory memory;
  DriverRing driver;
  DeviceRing device;
  uint64_t added = 0, completed = 0, digest = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const uint32_t slots = 1 + input.byte() % 8;
  const bool image = (input.byte() & 1) != 0;
  Machine machine(slots);
  if (image)
    for (uint64_t at = 0; at < machine.memory.data; at++)
      machine.memory.region.base[at] = std::byte{input.byte()};
  while (!input.empty()) {
    machine.step(input);
    CHECK(machine.driver.free_descriptors() <= slots && machine.driver.outstanding() <= slots);
    CHECK(machine.device.outstanding() <= slots && machine.completed <= machine.added);
  }
  digest_of_reads = machine.digest;
  return 0;
}

#ifndef RING_FUZZ_LIBFUZZER
int main(int argc, char** argv) {
  const uint32_t runs = argc > 1 ? static_cast<uint32_t>(std::strtoul(argv[1], nullptr, 10)) : 20000;
  uint32_t x = argc > 2 ? static_cast<uint32_t>(std::strtoul(argv[2], nullptr, 10)) | 1 : 1;
  std::array<uint8_t, 1024> input;
  for (uint32_t run = 0; run < runs; run++) {
    const size_t size = traffic_next(&x) % input.size();
    for (size_t i = 0; i < size; i++) input[i] = static_cast<uint8_t>(traffic_next(&x));
    LLVMFuzzerTestOneInput(input.data(), size);
  }
  std::printf("%u runs\n", runs);
  return 0;
}
#endif
