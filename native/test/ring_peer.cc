// Interop: the C++ rings as driver or device of the test traffic, over a mapped file. See traffic.h.
#include <sched.h>

#include "peer_options.h"
#include "traffic_roles.h"

namespace {

using ivshmem::ring::Region;

// A counter in the file: whoever notifies adds one. It stands for the doorbell, so that a test sees a lost
// one.
class FileBell {
 public:
  explicit FileBell(std::byte* word) : word_(*reinterpret_cast<uint32_t*>(word)) {}

  // release: pairs with the acquire in the partner's wait().
  void ring() { word_.fetch_add(1, std::memory_order_release); }

  bool wait(std::chrono::steady_clock::time_point deadline) {
    uint32_t now;
    while ((now = word_.load(std::memory_order_acquire)) == seen_) {  // acquire: pairs with ring() over there
      if (std::chrono::steady_clock::now() > deadline) return false;
      sched_yield();
    }
    seen_ = now;
    return true;
  }

  uint32_t count() const { return word_.load(std::memory_order_relaxed); }

 private:
  std::atomic_ref<uint32_t> word_;
  uint32_t seen_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  traffic_options options{};
  int device = 0;
  unsigned char* base = peer_open(argc, argv, &options, &device);
  if (base == nullptr) return 1;
  const traffic_layout layout = traffic_place(options.size);
  const Region region{reinterpret_cast<std::byte*>(base), layout.bytes};
  FileBell driver_bell(region.at(layout.driver_bell));
  FileBell device_bell(region.at(layout.device_bell));
  const bool passed = device ? ivshmem::ring::test::run_device(options, region, device_bell, driver_bell)
                             : ivshmem::ring::test::run_driver(options, region, driver_bell, device_bell);
  if (passed)
    std::printf("%u buffers, rang %u times\n", options.count, (device ? driver_bell : device_bell).count());
  return passed ? 0 : 1;
}
