#include <napi.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "addon_data.h"
#include "arguments.h"
#include "eventfd.h"
#include "exports.h"
#include "mmio.h"
#include "thread_share.h"
#include "tun/doorbell.h"
#include "wrapped.h"

namespace ivshmem {

namespace {

constexpr size_t kWordsToClear = 8;
constexpr double kLongestWaitMs = 3.6e6;

/**
 * A thread that uses a space which another thread of this process has opened. It sleeps for its own eventfd,
 * which threads of this process signal, and for the doorbell of the member: each ring is an edge that wakes
 * all who sleep here, whether or not the opener's loop, whose work it is to drain that, is awake.
 */
class ThreadSeat final : public Closable {
 public:
  static constexpr const char* kName = "ThreadSeat";
  static constexpr napi_type_tag kTag{0x69767368'6d656d22, 0xe27f415a'90bc6d83};

  explicit ThreadSeat(const Napi::CallbackInfo& info)
      : data_(AddonData::From(info.Env())),
        shared_(FindShared(Arguments(info).Name(0, "token", kTokenLimit))) {
    const Napi::Env env = info.Env();
    if (shared_ == nullptr) ThrowErrno(env, "attach", ENOENT);
    own_ = CreateEventfd(env);
    epoll_ = UniqueFd(Checked(env, "epoll_create1", epoll_create1(EPOLL_CLOEXEC)));
    epoll_event event{};
    event.events = EPOLLIN;
    Checked(env, "epoll_ctl", epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, own_.get(), &event));
    const std::lock_guard lock(shared_->mutex);
    if (shared_->closed) ThrowErrno(env, "attach", ENOENT);
    file_ = Duplicate(env, shared_->file.get());
    if (shared_->bell) bell_ = Duplicate(env, shared_->bell.get());
    data_.Add(this);
  }
  ~ThreadSeat() override { Close(); }

  void Close() override {
    if (std::exchange(closed_, true)) return;
    data_.Remove(this);
    const std::lock_guard lock(shared_->mutex);
    if (seat_ >= 0) {
      shared_->seats.erase(static_cast<uint32_t>(seat_));
      // After the opener closed, this is memory of nobody else.
      for (int32_t* word : cleared_) StoreSequential(word, 0);
      ++shared_->ended;
      Signal(shared_->home.get());
    }
    region_.reset();
  }

  Napi::Value Fd(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), own_.get()); }
  Napi::Value File(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), file_.get()); }
  Napi::Value Over(const Napi::CallbackInfo& info) {
    const std::lock_guard lock(shared_->mutex);
    return Napi::Boolean::New(info.Env(), closed_ || shared_->closed);
  }

  /** The mapping shows zeros when the opener closes the space. */
  Napi::Value Adopt(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const auto region = Wrapped<Mapping>::From(env, info[0])->region();
    const std::lock_guard lock(shared_->mutex);
    if (closed_ || shared_->closed || region == nullptr) ThrowErrno(env, "attach", ENOENT);
    std::erase_if(shared_->mapped, [](const auto& weak) { return weak.expired(); });
    shared_->mapped.push_back(region);
    return env.Undefined();
  }

  /** From now on wake() of that number wakes this thread; at its end the words are stored 0, in this order.
   */
  Napi::Value Sit(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const Arguments arguments(info);
    const auto seat = static_cast<int>(arguments.Integer(0, "seat", 0, kMostSeats));
    const auto region = Wrapped<Mapping>::From(env, info[1])->region();
    if (region == nullptr) ThrowErrno(env, "attach", ENOENT);
    std::vector<int32_t*> words;
    for (const double offset : arguments.Integers(2, "words", kWordsToClear, 0, kMaxSafeInteger)) {
      if (offset + 4 > static_cast<double>(region->size()) || static_cast<uint64_t>(offset) % 4 != 0)
        ThrowRange(env, "words are not in the mapping");
      words.push_back(reinterpret_cast<int32_t*>(region->address() + static_cast<uint64_t>(offset)));
    }
    const std::lock_guard lock(shared_->mutex);
    if (closed_ || shared_->closed || seat_ >= 0) ThrowErrno(env, "attach", ENOENT);
    if (!shared_->seats.emplace(static_cast<uint32_t>(seat), own_.get()).second)
      ThrowErrno(env, "attach", EEXIST);
    seat_ = seat;
    region_ = region;
    cleared_ = std::move(words);
    return env.Undefined();
  }

  /** Blocks this thread until it is woken, or somebody rang the member, at most so many milliseconds. */
  Napi::Value Wait(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const auto timeout = static_cast<int>(Arguments(info).Integer(0, "timeoutMs", 0, kLongestWaitMs));
    if (closed_) return env.Undefined();
    if (bell_) {
      // Only while it sleeps: the member's other traffic is none of a thread's business. A ring that is not
      // drained yet is reported when the doorbell is added.
      epoll_event event{};
      event.events = EPOLLIN | EPOLLET;
      event.data.u64 = 1;
      Checked(env, "epoll_ctl", epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, bell_.get(), &event));
    }
    std::array<epoll_event, 2> events;
    epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
    if (bell_) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, bell_.get(), nullptr);
    DrainEventfd(own_.get());
    return env.Undefined();
  }

  Napi::Value Drain(const Napi::CallbackInfo& info) {
    DrainEventfd(own_.get());
    return info.Env().Undefined();
  }

  Napi::Value Wake(const Napi::CallbackInfo& info) {
    const auto seat = static_cast<uint32_t>(Arguments(info).Integer(0, "seat", 0, kMostSeats));
    shared_->Wake(seat);
    return info.Env().Undefined();
  }

  Napi::Value WakeHome(const Napi::CallbackInfo& info) {
    Signal(shared_->home.get());
    return info.Env().Undefined();
  }

  /** Rings another member; one whose doorbell is not known, or absent, is ignored. */
  Napi::Value Ring(const Napi::CallbackInfo& info) {
    const auto peer = static_cast<uint32_t>(Arguments(info).Integer(0, "peer", 0, kMostSeats));
    const std::lock_guard lock(shared_->mutex);
    if (const auto found = shared_->doorbells.find(peer); found != shared_->doorbells.end()) {
      const HeldDoorbell& held = found->second;
      tun::Doorbell{held.word, held.value, held.eventfd.get()}.Ring();
    }
    return info.Env().Undefined();
  }

  Napi::Value CloseMethod(const Napi::CallbackInfo& info) {
    Close();
    return info.Env().Undefined();
  }

 private:
  AddonData& data_;
  std::shared_ptr<SharedAmongThreads> shared_;
  UniqueFd own_;
  UniqueFd epoll_;
  UniqueFd file_;
  UniqueFd bell_;
  std::shared_ptr<Region> region_;
  std::vector<int32_t*> cleared_;
  int seat_ = -1;
  bool closed_ = false;
};

}  // namespace

void DefineThreadSeat(Napi::Env env, Napi::Object exports) {
  using W = Wrapped<ThreadSeat>;
  using T = ThreadSeat;
  exports.Set("ThreadSeat", W::Define(env, {W::Getter<&T::Fd>("fd"), W::Getter<&T::File>("file"),
                                            W::Method<&T::Over>("over"), W::Method<&T::Adopt>("adopt"),
                                            W::Method<&T::Sit>("sit"), W::Method<&T::Wait>("wait"),
                                            W::Method<&T::Drain>("drain"), W::Method<&T::Wake>("wake"),
                                            W::Method<&T::WakeHome>("wakeHome"), W::Method<&T::Ring>("ring"),
                                            W::Method<&T::CloseMethod>("close")}));
}

}  // namespace ivshmem
