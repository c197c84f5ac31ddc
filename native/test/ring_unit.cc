// Unit tests of the C++ rings, single-threaded: what stands in memory, and what each rule refuses.
#include <functional>

#include "test_memory.h"

namespace {

using namespace ivshmem::ring;
using ivshmem::ring::test::Memory;

void positions_wrap() {
  for (uint32_t size = 1; size <= 9; size++) {
    for (uint32_t step = 1; step <= size; step++) {
      Position position;
      uint64_t running = 0;
      for (int i = 0; i < 100; i++, running += step) {
        CHECK(position.index == running % size);
        CHECK(position.wrap == (running / size % 2 == 0));
        CHECK(position.is_available(position.available_flags()) &&
              !position.is_used(position.available_flags()));
        CHECK(position.is_used(position.used_flags()) && !position.is_available(position.used_flags()));
        position.advance(step, size);
      }
    }
  }
  CHECK(!Position{}.is_available(0) && !Position{}.is_used(0));  // a zeroed ring holds nothing
}

// wants_event() against its meaning: "the slot at the running position `event` is among the last `count`".
void events_match_the_model() {
  for (uint32_t size : {1u, 2u, 3u, 8u}) {
    for (uint32_t now = 2 * size; now < 4 * size; now++) {
      for (uint32_t count = 0; count <= size; count++) {
        // The partner asks for a slot it has not seen, so between one lap back and one lap ahead (less one).
        for (uint32_t event = now - count; event < now - count + size; event++) {
          Position asked, at;
          for (uint32_t i = 0; i < event; i++) asked.advance(1, size);
          for (uint32_t i = 0; i < now; i++) at.advance(1, size);
          const uint32_t word = uint32_t{kEventDesc} << 16 | asked.encode();
          CHECK(wants_event(word, at, count, size) == (event < now));
        }
      }
    }
  }
  CHECK(wants_event(uint32_t{kEventEnable} << 16, {}, 1, 4) &&
        !wants_event(uint32_t{kEventEnable} << 16, {}, 0, 4));
  CHECK(!wants_event(uint32_t{kEventDisable} << 16, {}, 4, 4));
  CHECK(wants_event(uint32_t{3} << 16, {}, 1, 4));                      // reserved flags
  CHECK(wants_event(uint32_t{kEventDesc} << 16 | 4, {}, 1, 4));         // outside the ring
  CHECK(!wants_event(uint32_t{kEventDisable | 0x40} << 16, {}, 1, 4));  // reserved bits are not flags
}

void a_chain_stands_in_memory_as_specified() {
  Memory memory(4, 1024);
  DriverRing driver(memory.region, memory.areas);
  DeviceRing device(memory.region, memory.areas);
  const Element chain[] = {{memory.data, 10, false}, {memory.data + 64, 20, true}};
  CHECK(driver.add(chain, 7, true));
  CHECK(driver.free_descriptors() == 2 && driver.outstanding() == 1);
  AvailableBuffer buffer[4];
  CHECK(device.take(buffer) == 0);  // not published
  CHECK(memory.slot(0)->flags == 0);
  driver.publish();
  CHECK(memory.slot(0)->addr == memory.data && memory.slot(0)->len == 10);
  CHECK(memory.slot(0)->flags == (kAvail | kNext));
  CHECK(memory.slot(1)->flags == (kAvail | kWrite) && memory.slot(1)->id == (0 | kTag));
  CHECK(device.take(buffer) == 1);
  CHECK(buffer[0].id == 0 && buffer[0].tag && buffer[0].readable == 1 && buffer[0].elements.size() == 2);
  CHECK(buffer[0].elements[1].addr == memory.data + 64 && buffer[0].elements[1].len == 20);
  CHECK(!device.add_used(1, 21));  // more than the writable element holds
  CHECK(!device.add_used(2, 0) && !device.add_used(0, 0));
  CHECK(device.add_used(1, 20));
  UsedBuffer used[4];
  CHECK(driver.take_used(used) == 0);
  device.publish();
  CHECK(memory.slot(0)->flags == (kAvail | kUsed | kWrite) && memory.slot(0)->len == 20);
  CHECK(memory.slot(1)->flags == (kAvail | kWrite));  // skipped
  CHECK(driver.has_used() && driver.take_used(used) == 1 && used[0].cookie == 7 && used[0].written == 20);
  CHECK(driver.free_descriptors() == 4 && !driver.has_used());
}

// §2.8.8, over the end of the ring many times, at every size and burst.
void one_used_descriptor_stands_for_a_batch() {
  for (uint32_t size : {1u, 2u, 3u, 5u, 8u}) {
    Memory memory(size, 4096);
    DriverRing driver(memory.region, memory.areas);
    DeviceRing device(memory.region, memory.areas);
    std::vector<AvailableBuffer> available(size);
    UsedBuffer used[2];  // less than a batch: the rest waits
    uint64_t next = 0, back = 0;
    for (uint32_t round = 0; round < 60; round++) {
      const uint32_t burst = 1 + round % size;
      for (uint32_t i = 0; i < burst; i++) {
        const Element element{memory.data, 8, true};
        CHECK(driver.add({&element, 1}, next++));
      }
      driver.publish();
      CHECK(device.take(available) == burst && device.outstanding() == burst);
      CHECK(device.add_used(burst, 5));
      device.publish();
      for (uint32_t left = burst; left > 0;) {
        const size_t taken = driver.take_used(used);
        CHECK(taken == (left < 2 ? left : 2));
        for (size_t i = 0; i < taken; i++, left--, back++) {
          CHECK(used[i].cookie == back && used[i].written == (left == 1 ? 5 : 8));
        }
      }
      CHECK(!driver.has_used() && driver.free_descriptors() == size && !driver.broken() && !device.broken());
    }
  }
}

void the_driver_refuses_what_is_not_legal() {
  Memory memory(2, 1024);
  DriverRing driver(memory.region, memory.areas);
  const uint64_t end = memory.region.size;
  const Element outside[] = {{end - 4, 5, false}};
  const Element overflow[] = {{UINT64_MAX, 2, false}};
  const Element disorder[] = {{memory.data, 1, true}, {memory.data, 1, false}};
  const Element three[] = {{memory.data, 1, false}, {memory.data, 1, false}, {memory.data, 1, false}};
  const Element one[] = {{end - 4, 4, false}};
  CHECK(!driver.add(outside, 0) && !driver.add(overflow, 0) && !driver.add(disorder, 0) &&
        !driver.add({}, 0));
  CHECK(!driver.add(three, 0) && !driver.add_indirect(three, memory.data, 0));
  CHECK(!driver.add_indirect(one, memory.data + 8, 0) && !driver.add_indirect(one, end - 8, 0));
  CHECK(driver.free_descriptors() == 2);
  CHECK(driver.add(one, 0) && driver.add_indirect(one, memory.data, 1) && !driver.add(one, 2));
  for (Areas areas : {Areas{8, 512, 516, 2}, Areas{0, 514, 516, 2}, Areas{0, 512, end, 2},
                      Areas{0, 512, 516, 0}, Areas{0, 512, 516, 40000}, Areas{0, 512, 516, 32768}}) {
    CHECK(DriverRing(memory.region, areas).violation() == Violation::kLayout);
    CHECK(DeviceRing(memory.region, areas).violation() == Violation::kLayout);
  }
}

// Publishes a chain of two and a table of two, lets `spoil` change memory, and tells what the device then
// finds.
Violation device_finds(const std::function<void(Memory&)>& spoil, size_t expected_taken = 0) {
  Memory memory(8, 1024);
  DriverRing driver(memory.region, memory.areas);
  DeviceRing device(memory.region, memory.areas);
  const Element elements[] = {{memory.data + 256, 10, false}, {memory.data + 512, 20, true}};
  CHECK(driver.add(elements, 0) && driver.add_indirect(elements, memory.data, 1));
  driver.publish();
  spoil(memory);
  AvailableBuffer buffers[8];
  CHECK(device.take(buffers) == expected_taken);
  CHECK(device.broken() || expected_taken == 2);
  CHECK(!device.broken() || (device.take(buffers) == 0 && !device.has_available() && !device.add_used(1, 0)));
  return device.violation();
}

void the_device_finds_violations() {
  const auto entry = [](Memory& m, uint32_t i) {
    return reinterpret_cast<Descriptor*>(m.region.at(m.data)) + i;
  };
  CHECK(device_finds([](Memory&) {}, 2) == Violation::kNone);
  // Ignored by the device: WRITE beside INDIRECT, and all flags but WRITE in a table (§2.8.7).
  CHECK(device_finds([](Memory& m) { m.slot(2)->flags |= kWrite; }, 2) == Violation::kNone);
  CHECK(device_finds([&](Memory& m) { entry(m, 0)->flags |= kNext | kAvail; }, 2) == Violation::kNone);
  CHECK(device_finds([](Memory& m) { m.slot(0)->addr = m.region.size - 9; }) == Violation::kAddress);
  CHECK(device_finds([](Memory& m) { m.slot(1)->addr = UINT64_MAX; }) == Violation::kAddress);
  CHECK(device_finds([](Memory& m) { m.slot(1)->len = UINT32_MAX; }) == Violation::kAddress);
  CHECK(device_finds([](Memory& m) { m.slot(0)->flags |= 8; }) == Violation::kFlags);
  CHECK(device_finds([](Memory& m) { m.slot(1)->flags = kWrite; }) == Violation::kFlags);  // not available
  CHECK(device_finds([](Memory& m) { m.slot(0)->flags |= kWrite, m.slot(1)->flags = kAvail; }) ==
        Violation::kFlags);
  CHECK(device_finds([](Memory& m) { m.slot(1)->flags |= kIndirect; }) == Violation::kIndirectTable);
  CHECK(device_finds([](Memory& m) { m.slot(1)->id = 8; }) == Violation::kBufferId);
  CHECK(device_finds([](Memory& m) {
          for (uint32_t i = 0; i < 8; i++) *m.slot(i) = {m.data, 1, 0, kAvail | kNext};
        }) == Violation::kChainLength);
  CHECK(device_finds([](Memory& m) { m.slot(2)->flags |= kNext; }, 1) == Violation::kIndirectTable);
  CHECK(device_finds([](Memory& m) { m.slot(2)->len = 0; }, 1) == Violation::kIndirectTable);
  CHECK(device_finds([](Memory& m) { m.slot(2)->len = 24; }, 1) == Violation::kIndirectTable);
  CHECK(device_finds([](Memory& m) { m.slot(2)->len = 9 * 16; }, 1) == Violation::kIndirectTable);
  CHECK(device_finds([](Memory& m) { m.slot(2)->addr += 8; }, 1) == Violation::kIndirectTable);
  CHECK(device_finds([](Memory& m) { m.slot(2)->addr = m.region.size - 16; }, 1) == Violation::kAddress);
  CHECK(device_finds([&](Memory& m) { entry(m, 1)->flags |= kIndirect; }, 1) == Violation::kIndirectTable);
  CHECK(device_finds([&](Memory& m) { entry(m, 1)->addr = m.region.size; }, 1) == Violation::kAddress);
  CHECK(device_finds([&](Memory& m) { entry(m, 0)->flags = kWrite, entry(m, 1)->flags = 0; }, 1) ==
        Violation::kFlags);
}

// Three buffers of 16 writable bytes are out, a fourth is not published; the "device" writes one used
// descriptor.
Violation driver_finds(uint16_t id, uint32_t len, uint16_t flags, size_t expected_taken = 0) {
  Memory memory(8, 1024);
  DriverRing driver(memory.region, memory.areas);
  const Element element{memory.data, 16, true};
  for (uint64_t i = 0; i < 3; i++) CHECK(driver.add({&element, 1}, i));
  driver.publish();
  CHECK(driver.add({&element, 1}, 3));
  *memory.slot(0) = {0, len, id, flags};
  UsedBuffer used[8];
  CHECK(driver.take_used(used) == expected_taken);
  CHECK(!driver.broken() ||
        (!driver.has_used() && !driver.add({&element, 1}, 9) && driver.take_used(used) == 0));
  return driver.violation();
}

void the_driver_finds_violations() {
  const uint16_t used = kAvail | kUsed | kWrite;
  CHECK(driver_finds(2, 16, used, 3) == Violation::kNone);
  CHECK(driver_finds(2 | kTag, 16, used, 3) == Violation::kNone);
  CHECK(driver_finds(0, 999, kAvail | kUsed, 1) == Violation::kNone);  // no WRITE: the length means nothing
  CHECK(driver_finds(2, 16, kUsed, 0) == Violation::kNone);            // the other lap's
  CHECK(driver_finds(0, 17, used) == Violation::kUsedLength);
  CHECK(driver_finds(3, 0, used) == Violation::kBufferId);  // not published
  CHECK(driver_finds(4, 0, used) == Violation::kBufferId);
  CHECK(driver_finds(8, 0, used) == Violation::kBufferId);
  CHECK(driver_finds(0x7fff, 0, used) == Violation::kBufferId);
}

void a_driver_that_reuses_slots_it_does_not_own_gets_nowhere() {
  Memory memory(2, 1024);
  DeviceRing device(memory.region, memory.areas);
  AvailableBuffer buffers[8];
  for (uint32_t i = 0; i < 2; i++) *memory.slot(i) = {memory.data, 1, 0, kAvail};
  CHECK(device.take(buffers) == 2);
  for (uint32_t i = 0; i < 2; i++) *memory.slot(i) = {memory.data, 1, 0, kUsed};  // available, next lap
  CHECK(device.take(buffers) == 0 && !device.has_available() && device.outstanding() == 2);
}

void notifications_are_suppressed_and_asked_for() {
  Memory memory(4, 1024);
  DriverRing driver(memory.region, memory.areas);
  DeviceRing device(memory.region, memory.areas);
  const Element element{memory.data, 16, true};
  const auto send = [&] {
    CHECK(driver.add({&element, 1}, 0));
    driver.publish();
    return driver.needs_notification();
  };
  AvailableBuffer buffers[4];
  UsedBuffer used[4];
  CHECK(send() && !driver.needs_notification());  // a zeroed area is ENABLE; nothing new, nothing to tell
  device.disable_notifications();
  CHECK(memory.device_event()->flags == kEventDisable && !send());
  CHECK(device.enable_notifications());  // two are there: do not sleep
  CHECK(device.take(buffers) == 2 && !device.enable_notifications());
  CHECK(memory.device_event()->flags == kEventDesc && memory.device_event()->desc == (2 | kWrapBit));
  CHECK(send() && !send());  // the slot asked for, then one past it
  CHECK(device.take(buffers) == 2);
  driver.disable_notifications();
  CHECK(device.add_used(1, 0));
  device.publish();
  CHECK(!device.needs_notification());
  CHECK(driver.enable_notifications() && driver.take_used(used) == 1);
  CHECK(!driver.enable_notifications(2));  // not before the third from here
  CHECK(memory.driver_event()->flags == kEventDesc && memory.driver_event()->desc == (3 | kWrapBit));
  CHECK(device.add_used(2, 0));
  device.publish();
  CHECK(!device.needs_notification());
  CHECK(device.add_used(1, 0));
  device.publish();
  CHECK(device.needs_notification() && driver.take_used(used) == 3);
}

}  // namespace

int main() {
  positions_wrap();
  events_match_the_model();
  a_chain_stands_in_memory_as_specified();
  one_used_descriptor_stands_for_a_batch();
  the_driver_refuses_what_is_not_legal();
  the_device_finds_violations();
  the_driver_finds_violations();
  a_driver_that_reuses_slots_it_does_not_own_gets_nowhere();
  notifications_are_suppressed_and_asked_for();
  std::printf("9 groups passed\n");
  return 0;
}
