// Stress: driver and device of the test traffic on two threads, polling and asleep on eventfds. Run under the
// thread sanitizer it judges the memory orders: element bytes are plain accesses, ordered by the ring alone.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>

#include "test_memory.h"
#include "traffic_roles.h"

namespace {

using namespace ivshmem::ring;

class EventfdBell {
 public:
  EventfdBell() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { CHECK(fd_ >= 0); }
  ~EventfdBell() { close(fd_); }
  EventfdBell(const EventfdBell&) = delete;
  EventfdBell& operator=(const EventfdBell&) = delete;

  void ring() {
    const uint64_t one = 1;
    CHECK(write(fd_, &one, sizeof(one)) == sizeof(one));
    rings_++;
  }

  bool wait(std::chrono::steady_clock::time_point deadline) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd entry{fd_, POLLIN, 0};
    if (left.count() <= 0 || poll(&entry, 1, static_cast<int>(left.count())) != 1) return false;
    uint64_t count = 0;
    return read(fd_, &count, sizeof(count)) == sizeof(count);
  }

  uint64_t rings() const { return rings_; }

 private:
  int fd_;
  uint64_t rings_ = 0;  // of the one thread that rings it
};

// Returns how often either side was rung.
uint64_t run(const traffic_options& options) {
  const uint64_t bytes = traffic_place(options.size).bytes;
  auto* base = static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
  CHECK(base != nullptr);
  std::memset(base, 0, bytes);
  const Region region{base, bytes};
  EventfdBell driver_bell, device_bell;
  bool driver_passed = false, device_passed = false;
  std::thread device([&] { device_passed = test::run_device(options, region, device_bell, driver_bell); });
  std::thread driver([&] { driver_passed = test::run_driver(options, region, driver_bell, device_bell); });
  driver.join();
  device.join();
  std::free(base);
  CHECK(driver_passed && device_passed);
  std::printf("size %u, batch %u, chained %d, indirect %d, events %d: %u buffers, rang %llu + %llu\n",
              options.size, options.batch, options.chained, options.indirect, options.events, options.count,
              static_cast<unsigned long long>(driver_bell.rings()),
              static_cast<unsigned long long>(device_bell.rings()));
  return driver_bell.rings() + device_bell.rings();
}

}  // namespace

// The argument is the number of buffers of each run.
int main(int argc, char** argv) {
  const uint32_t count = argc > 1 ? static_cast<uint32_t>(std::strtoul(argv[1], nullptr, 10)) : 4000;
  for (int events = 0; events <= 1; events++) {
    uint64_t rings = run({1, count, 1, 1, 1, 1, events});
    rings += run({3, count, 2, 2, 1, 0, events});
    rings += run({8, count, 3, 8, 1, 1, events});
    rings += run({64, count, 4, 16, 0, 1, events});
    rings += run({256, count, 5, 64, 0, 0, events});
    CHECK(rings > 0);  // whoever sleeps has to be woken
  }
  return 0;
}
