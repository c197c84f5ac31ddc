#include "loop_waiter.h"

#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <string>

#include "arguments.h"
#include "eventfd.h"
#include "exports.h"
#include "mmio.h"

namespace ivshmem {

namespace {

/** Calls of onWork in a row, and the time they may take, before the rest of the loop gets its turn. */
constexpr int kServesPerIteration = 64;
constexpr uint64_t kServeNs = 200'000;
/** Looks at the words between two looks at the clock: about 0.2 to 0.6 us. */
constexpr int kLooksPerClock = 16;
/** The first look at the loop's other descriptors (a system call, about 300 ns), and the least time between
 * two. */
constexpr uint64_t kFirstPollNs = 4'000;
constexpr uint64_t kPollEveryNs = 4'000;
constexpr uint64_t kNsPerMs = 1'000'000;
constexpr size_t kOwnBells = 3;
constexpr double kSpinLimitNs = 1e10;
constexpr double kPollLimitMs = 3.6e6;

Napi::Int32Array WordsFrom(Napi::Env env, Napi::Object options, const char* name) {
  const Napi::Value value = options.Get(name);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
    ThrowType(env, std::string(name) + " must be an Int32Array");
  }
  return value.As<Napi::Int32Array>();
}

}  // namespace

LoopWaiter::Options LoopWaiter::OptionsFrom(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) ThrowType(env, "options must be an object");
  Napi::Object from = info[0].As<Napi::Object>();
  const Napi::Value on_work = from.Get("onWork");
  if (!on_work.IsFunction()) ThrowType(env, "onWork must be a function");
  Options options{WordsFrom(env, from, "words"),
                  WordsFrom(env, from, "armed"),
                  static_cast<int>(IntegerFrom(env, from.Get("eventfd"), "eventfd", -1, INT_MAX)),
                  static_cast<uint64_t>(IntegerFrom(env, from.Get("spinNs"), "spinNs", 0, kSpinLimitNs)),
                  static_cast<uint64_t>(IntegerFrom(env, from.Get("pollMs"), "pollMs", 0, kPollLimitMs)),
                  on_work.As<Napi::Function>()};
  if (options.eventfd < 0 && options.poll_ms == 0)
    ThrowRange(env, "pollMs must be at least 1 without an eventfd");
  return options;
}

LoopWaiter::LoopWaiter(const Napi::CallbackInfo& info, const Options& options)
    : data_(AddonData::From(info.Env())),
      words_(options.words),
      armed_word_(options.armed),
      eventfd_(options.eventfd < 0 ? UniqueFd() : DuplicateEventfd(info.Env(), options.eventfd)),
      budget_(options.spin_ns),
      poll_ms_(options.poll_ms),
      on_work_(info.This().As<Napi::Object>(), options.on_work, "ivshmem.LoopWaiter") {
  const Napi::Env env = info.Env();
  // Asked of the memory and not of the options, whose later getters may have detached it.
  if (words_.empty()) ThrowRange(env, "words is empty");
  if (armed_word_.empty()) ThrowRange(env, "armed is empty");
  prepare_.Open(env, data_, this, "uv_prepare_init", uv_prepare_init);
  check_.Open(env, data_, this, "uv_check_init", uv_check_init);
  idle_.Open(env, data_, this, "uv_idle_init", uv_idle_init);
  if (eventfd_) {
    bell_.Open(env, data_, this, "uv_poll_init", [this](uv_loop_t* loop, uv_poll_t* handle) {
      return uv_poll_init(loop, handle, eventfd_.get());
    });
  } else {
    timer_.Open(env, data_, this, "uv_timer_init", uv_timer_init);
  }
  data_.Add(this);
}

void LoopWaiter::Close() {
  if (!prepare_) return;
  data_.Remove(this);
  StopHandles();
  bell_.Close();  // Before its descriptor.
  timer_.Close();
  idle_.Close();
  check_.Close();
  prepare_.Close();
  eventfd_.Reset();
  words_.Reset();
  armed_word_.Reset();
  on_work_.Reset();
}

void LoopWaiter::StopHandles() {
  started_ = false;
  uv_prepare_stop(prepare_.get());
  uv_check_stop(check_.get());
  uv_idle_stop(idle_.get());
  if (bell_) uv_poll_stop(bell_.get());
  if (timer_) uv_timer_stop(timer_.get());
  armed_word_.Refresh();
  if (eventfd_) Disarm();
}

bool LoopWaiter::BackendReadable() const {
  pollfd backend{uv_backend_fd(data_.loop()), POLLIN, 0};
  return poll(&backend, 1, 0) != 0;
}

void LoopWaiter::Disarm() {
  armed_ = false;
  armed_word_.StoreFirst(0);
}

/** True when a word became non-zero before the budget, the next timer or another descriptor of the loop ended
 * the spin. */
bool LoopWaiter::Spin(int timeout_ms) {
  const uint64_t start = looked_at_ = uv_hrtime();
  const uint64_t budget = budget_.Next(start);
  if (budget == 0) return false;
  uint64_t end = start + budget;
  if (timeout_ms > 0) end = std::min(end, start + static_cast<uint64_t>(timeout_ms) * kNsPerMs);
  uint64_t next_poll = start + kFirstPollNs;
  if (budget_.yield_first() && YieldFindsWork(start)) return true;
  for (;;) {
    for (int i = 0; i < kLooksPerClock; ++i) {
      if (words_.AnyNonZero()) {
        budget_.FoundLooking();
        return FoundSpinning(start);
      }
      CpuRelax();
    }
    const uint64_t now = looked_at_ = uv_hrtime();
    if (now >= end) break;
    if (now < next_poll) continue;
    if (BackendReadable()) break;
    // On a machine with more to run than processors, the sender we wait for may need this one.
    if (budget_.yields(now) && YieldFindsWork(start)) return true;
    // Where system calls are slow (emulated machines) they must not be most of the spin.
    const uint64_t after = uv_hrtime();
    next_poll = after + std::max(kPollEveryNs, 4 * (after - now));
  }
  budget_.FoundNothing();
  return false;
}

bool LoopWaiter::YieldFindsWork(uint64_t start) {
  const uint64_t before = uv_hrtime();
  sched_yield();
  const uint64_t after = looked_at_ = uv_hrtime();
  const bool found = words_.AnyNonZero();
  budget_.Yielded(after - before, found, after);
  return found && FoundSpinning(start);
}

bool LoopWaiter::FoundSpinning(uint64_t start) {
  budget_.Found(looked_at_ - start);
  ++found_spinning_;
  return true;
}

/** False when the loop may sleep: armed, and no word was non-zero after that. */
bool LoopWaiter::ArmAndLookAgain(int timeout_ms) {
  if (eventfd_) {
    armed_ = true;
    armed_word_.StoreFirst(1);
    // Store armed, then load words; the sender stores its word, then loads armed. Pairs with the sender's
    // seq_cst exchange.
    FullFence();
    if (words_.AnyNonZero()) {
      Disarm();
      return true;
    }
    armed_at_ = uv_hrtime();
  }
  if (timeout_ms != 0) ++sleeps_;
  return false;
}

void LoopWaiter::Serve() {
  on_work_.Call();
  words_.Refresh();
  armed_word_.Refresh();
}

void LoopWaiter::OnPrepare() {
  uv_loop_t* loop = data_.loop();
  uv_idle_stop(idle_.get());
  words_.Refresh();
  armed_word_.Refresh();
  uint64_t first_serve = 0;
  bool found = words_.AnyNonZero();
  for (int serves = 0;;) {
    // 0 when anything else wants to run: an immediate, a closing handle, a watcher that epoll does not know
    // yet.
    const int timeout_ms = uv_backend_timeout(loop);
    const bool spun = !found && timeout_ms != 0;
    if (spun) found = Spin(timeout_ms);
    // Armed even when the timeout is 0: with watchers to be added libuv says 0 and may sleep all the same.
    if (!found) found = ArmAndLookAgain(timeout_ms);
    if (!found) break;
    const uint64_t now = spun ? looked_at_ : uv_hrtime();
    if (serves == 0) first_serve = now;
    if (serves == kServesPerIteration || now - first_serve > kServeNs) {
      uv_idle_start(idle_.get(), [](uv_idle_t*) {});  // The poll that follows returns at once.
      break;
    }
    ++serves;
    Serve();
    if (!started_) return;
    found = words_.AnyNonZero();
  }
  // The time spent here must not lengthen the sleep that is computed next.
  uv_update_time(loop);
}

void LoopWaiter::OnCheck() {
  if (!armed_) return;
  armed_word_.Refresh();
  Disarm();
}

void LoopWaiter::ListenToBell() {
  uv_poll_start(bell_.get(), UV_READABLE, [](uv_poll_t* handle, int status, int) {
    static_cast<LoopWaiter*>(handle->data)->OnBell(status);
  });
}

void LoopWaiter::OnBell(int status) {
  // Only an eventfd whose counter a peer drove to its limit reports an error (EPOLLERR); libuv stops the
  // handle then.
  const int64_t counter = DrainEventfd(eventfd_.get());
  if (status < 0) ListenToBell();
  if (counter <= 0) return;
  words_.Refresh();
  armed_word_.Refresh();
  if (expected_since_ != 0) {
    HeardOwnBell();
    if (!words_.AnyNonZero()) return;
  }
  ++bells_;
  if (armed_) {
    budget_.BellAfter(uv_hrtime() - armed_at_);
    Disarm();  // uv_check comes after all callbacks of this poll: until then everybody would ring.
  }
  if (!words_.AnyNonZero()) ++spurious_bells_;
  Serve();
}

/** One of them may have met a peer's bell, or a machine that was busy: the middle one counts. */
void LoopWaiter::HeardOwnBell() {
  took_.push_back(uv_hrtime() - expected_since_);
  expected_since_ = 0;
  if (took_.size() < kOwnBells) return;
  std::sort(took_.begin(), took_.end());
  budget_.WakeUpTakes(took_[took_.size() / 2]);
  took_.clear();
}

Napi::Value LoopWaiter::ExpectBell(const Napi::CallbackInfo& info) {
  expected_since_ = uv_hrtime();
  return info.Env().Undefined();
}

Napi::Value LoopWaiter::Start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!prepare_) ThrowErrno(env, "start", EBADF);
  if (started_) return env.Undefined();
  started_ = true;
  uv_prepare_start(prepare_.get(),
                   [](uv_prepare_t* handle) { static_cast<LoopWaiter*>(handle->data)->OnPrepare(); });
  if (bell_) {
    uv_check_start(check_.get(),
                   [](uv_check_t* handle) { static_cast<LoopWaiter*>(handle->data)->OnCheck(); });
    ListenToBell();
  } else {
    uv_timer_start(
        timer_.get(), [](uv_timer_t*) {}, poll_ms_, poll_ms_);  // uv_prepare looks, the timer only wakes.
  }
  return env.Undefined();
}

Napi::Value LoopWaiter::Stop(const Napi::CallbackInfo& info) {
  if (prepare_ && started_) StopHandles();
  return info.Env().Undefined();
}

Napi::Value LoopWaiter::Ref(const Napi::CallbackInfo& info) {
  if (prepare_) uv_ref(main_handle());
  return info.Env().Undefined();
}

Napi::Value LoopWaiter::Unref(const Napi::CallbackInfo& info) {
  if (prepare_) uv_unref(main_handle());
  return info.Env().Undefined();
}

Napi::Value LoopWaiter::Statistics(const Napi::CallbackInfo& info) {
  Napi::Array result = Napi::Array::New(info.Env(), 4);
  uint32_t index = 0;
  for (const double value : {found_spinning_, sleeps_, bells_, spurious_bells_}) {
    result.Set(index++, Napi::Number::New(info.Env(), value));
  }
  return result;
}

Napi::Value LoopWaiter::CloseMethod(const Napi::CallbackInfo& info) {
  Close();
  return info.Env().Undefined();
}

void DefineLoopWaiter(Napi::Env env, Napi::Object exports) {
  using W = Wrapped<LoopWaiter>;
  using T = LoopWaiter;
  exports.Set(
      "LoopWaiter",
      W::Define(env, {W::Method<&T::Start>("start"), W::Method<&T::Stop>("stop"), W::Method<&T::Ref>("ref"),
                      W::Method<&T::Unref>("unref"), W::Method<&T::ExpectBell>("expectBell"),
                      W::Method<&T::Statistics>("statistics"), W::Method<&T::CloseMethod>("close")}));
}

}  // namespace ivshmem
