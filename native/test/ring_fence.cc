// The fences of the notification protocol, as a store-buffer litmus on the rings themselves: in each round
// one thread makes a buffer available (or used) and asks whether to notify, while the other turns its
// notifications on and asks whether something is there. Both may say yes; both saying no is a lost wake-up.
// Without sanitizers, which slow the window shut.
#include <sched.h>

#include <thread>

#include "test_memory.h"

namespace {

using namespace ivshmem::ring;
using ivshmem::ring::test::Memory;

// Lets two threads go at the same moment.
class Gate {
 public:
  void pass(uint32_t* round) {
    const uint32_t target = ++*round * 2;
    arrived_.fetch_add(1);
    for (uint32_t spins = 0; arrived_.load() < target; spins++)
      if (spins % 4096 == 4095) sched_yield();
  }

 private:
  std::atomic<uint32_t> arrived_ = 0;
};

}  // namespace

// The argument is the number of rounds.
int main(int argc, char** argv) {
  const uint32_t rounds = argc > 1 ? static_cast<uint32_t>(std::strtoul(argv[1], nullptr, 10)) : 100000;
  Memory memory(4, 64);
  DriverRing driver(memory.region, memory.areas);
  DeviceRing device(memory.region, memory.areas);
  Gate gate;
  bool driver_rings = false, driver_sees = false;
  uint32_t lost = 0;

  std::thread driver_thread([&] {
    const Element element{memory.data, 8, false};
    UsedBuffer used[4];
    for (uint32_t i = 0, round = 0; i < rounds; i++) {
      CHECK(driver.add({&element, 1}, i));
      gate.pass(&round);
      driver.publish();
      driver_rings = driver.needs_notification();
      driver.disable_notifications();
      gate.pass(&round);
      gate.pass(&round);  // the device takes and prepares the buffer
      driver_sees = driver.enable_notifications();
      gate.pass(&round);
      CHECK(driver.take_used(used) == 1);
    }
  });
  AvailableBuffer buffers[4];
  for (uint32_t i = 0, round = 0; i < rounds; i++) {
    device.disable_notifications();
    gate.pass(&round);
    const bool device_sees = device.enable_notifications();
    gate.pass(&round);
    if (!device_sees && !driver_rings) lost++;
    CHECK(device.take(buffers) == 1 && device.add_used(1, 0));
    gate.pass(&round);
    device.publish();
    const bool device_rings = device.needs_notification();
    gate.pass(&round);
    if (!device_rings && !driver_sees) lost++;
  }
  driver_thread.join();
  std::printf("%u rounds, %u wake-ups lost\n", rounds, lost);
  return lost == 0 ? 0 : 1;
}
