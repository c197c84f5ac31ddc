#include <napi.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <uv.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "addon_data.h"
#include "arguments.h"
#include "eventfd.h"
#include "exports.h"
#include "loop_callback.h"
#include "quiet_thread.h"
#include "unique_fd.h"
#include "uv_handle.h"
#include "wrapped.h"

namespace ivshmem {

namespace {

/** PCI allows 2,048 MSI-X vectors per function. */
constexpr size_t kVectorLimit = 2048;
constexpr uint64_t kStopKey = UINT64_MAX;

/**
 * The thread counts into `counts_`; the loop compares with what it has `delivered_`. uv_async coalesces by
 * itself, so a call under way picks up everything that was counted before it reads.
 */
class InterruptThread final : public Closable {
 public:
  static constexpr const char* kName = "InterruptThread";
  static constexpr napi_type_tag kTag{0x69767368'6d656d03, 0xc5708e1d'94ab326f};

  explicit InterruptThread(const Napi::CallbackInfo& info)
      : data_(AddonData::From(info.Env())),
        on_interrupt_(info.This().As<Napi::Object>(), Arguments(info).Function(1, "onInterrupt"),
                      "ivshmem.InterruptThread") {
    const Napi::Env env = info.Env();
    const std::vector<int> fds = Arguments(info).Fds(0, "eventfds", kVectorLimit, 0);
    // First of all: a number that the caller closed already must not name one of the descriptors made below.
    for (const int fd : fds) eventfds_.push_back(DuplicateEventfd(env, fd));
    epoll_ = UniqueFd(Checked(env, "epoll_create1", epoll_create1(EPOLL_CLOEXEC)));
    stop_ = CreateEventfd(env);
    Watch(env, stop_.get(), kStopKey);
    for (size_t vector = 0; vector < eventfds_.size(); ++vector) Watch(env, eventfds_[vector].get(), vector);
    counts_ = std::make_unique<std::atomic<uint64_t>[]>(fds.size());
    delivered_.resize(fds.size());
    async_.Open(env, data_, this, "uv_async_init",
                [](uv_loop_t* loop, uv_async_t* handle) { return uv_async_init(loop, handle, OnAsync); });
    Launch(env);
    data_.Add(this);
  }
  ~InterruptThread() override { Close(); }

  void Close() override {
    if (!async_) return;
    data_.Remove(this);
    if (thread_.joinable()) {
      const uint64_t one = 1;
      // Cannot fail: the counter of a private eventfd that is written once is never full.
      static_cast<void>(!write(stop_.get(), &one, sizeof one));
      thread_.join();
    }
    async_.Close();  // After the join: nobody sends to it any more.
    eventfds_.clear();
    stop_.Reset();
    epoll_.Reset();
    on_interrupt_.Reset();
  }

  Napi::Value Counts(const Napi::CallbackInfo& info) {
    Napi::Array result = Napi::Array::New(info.Env(), delivered_.size());
    for (size_t i = 0; i < delivered_.size(); ++i) {
      result.Set(static_cast<uint32_t>(i), static_cast<double>(counts_[i].load(std::memory_order_relaxed)));
    }
    return result;
  }
  Napi::Value Spurious(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(spurious_.load(std::memory_order_relaxed)));
  }
  Napi::Value Ref(const Napi::CallbackInfo& info) {
    if (async_) uv_ref(async_.base());
    return info.Env().Undefined();
  }
  Napi::Value Unref(const Napi::CallbackInfo& info) {
    if (async_) uv_unref(async_.base());
    return info.Env().Undefined();
  }
  Napi::Value CloseMethod(const Napi::CallbackInfo& info) {
    Close();
    return info.Env().Undefined();
  }

 private:
  void Watch(Napi::Env env, int fd, uint64_t key) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = key;
    Checked(env, "epoll_ctl", epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event));
  }

  void Launch(Napi::Env env) {
    const int error = StartQuietThread(&thread_, "ivshmem-irq", {}, [this] { Run(); });
    if (error != 0) ThrowErrno(env, "pthread_create", error);
  }

  void Run() {
    std::array<epoll_event, 64> events;
    for (;;) {
      const int ready = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
      bool counted = false;
      for (int i = 0; i < ready; ++i) {
        const uint64_t key = events[static_cast<size_t>(i)].data.u64;
        if (key == kStopKey) return;
        const int fd = eventfds_[key].get();
        const int64_t counter = DrainEventfd(fd);
        // An eventfd that cannot be read would be reported for ever.
        if (counter < 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
        if (counter <= 0) {
          spurious_.fetch_add(1, std::memory_order_relaxed);
          continue;
        }
        // release: pairs with the acquire in Deliver, so what the thread saw before is seen there too.
        counts_[key].fetch_add(static_cast<uint64_t>(counter), std::memory_order_release);
        counted = true;
      }
      if (counted) uv_async_send(async_.get());
    }
  }

  static void OnAsync(uv_async_t* handle) { static_cast<InterruptThread*>(handle->data)->Deliver(); }

  void Deliver() {
    for (size_t vector = 0; vector < delivered_.size() && async_; ++vector) {
      // acquire: pairs with the release in Run.
      const uint64_t count = counts_[vector].load(std::memory_order_acquire);
      const uint64_t fresh = count - delivered_[vector];
      if (fresh == 0) continue;
      delivered_[vector] = count;  // Before the call, which may close this object.
      on_interrupt_.Call({static_cast<double>(vector), static_cast<double>(fresh)});
    }
  }

  AddonData& data_;
  LoopCallback on_interrupt_;
  UniqueFd epoll_;
  UniqueFd stop_;
  std::vector<UniqueFd> eventfds_;
  std::unique_ptr<std::atomic<uint64_t>[]> counts_;
  std::vector<uint64_t> delivered_;
  std::atomic<uint64_t> spurious_{0};
  UvHandle<uv_async_t> async_;
  std::thread thread_;
};

}  // namespace

void DefineInterruptThread(Napi::Env env, Napi::Object exports) {
  using W = Wrapped<InterruptThread>;
  using T = InterruptThread;
  exports.Set("InterruptThread",
              W::Define(env, {W::Method<&T::Counts>("counts"), W::Method<&T::Spurious>("spurious"),
                              W::Method<&T::Ref>("ref"), W::Method<&T::Unref>("unref"),
                              W::Method<&T::CloseMethod>("close")}));
}

}  // namespace ivshmem
