#ifndef IVSHMEM_LOOP_WAITER_H_
#define IVSHMEM_LOOP_WAITER_H_

#include <napi.h>
#include <uv.h>

#include <cstdint>
#include <vector>

#include "addon_data.h"
#include "loop_callback.h"
#include "spin_budget.h"
#include "unique_fd.h"
#include "uv_handle.h"
#include "watched_words.h"

namespace ivshmem {

/**
 * Waits for shared memory on the event loop: serve, spin, arm, sleep, in uv_prepare; disarm in uv_check.
 *
 * The sender stores its word (seq_cst), then exchanges `armed` with 0 and rings only when it was 1. Here
 * `armed` = 1 is stored (seq_cst), then a full fence, then the words are read again: one of the two sides
 * sees the other's store, so no wake-up is lost. Everything in shared memory may be hostile: words that never
 * go to zero cost one capped burst of calls per loop iteration, after which the loop serves everything else;
 * a wrong `armed` costs a sleep or a bell, which only hurts who wrote it.
 */
class LoopWaiter final : public Closable {
 public:
  static constexpr const char* kName = "LoopWaiter";
  static constexpr napi_type_tag kTag{0x69767368'6d656d04, 0x3ea95f70'd81c4b26};

  explicit LoopWaiter(const Napi::CallbackInfo& info) : LoopWaiter(info, OptionsFrom(info)) {}
  ~LoopWaiter() override { Close(); }

  void Close() override;

  Napi::Value Start(const Napi::CallbackInfo& info);
  Napi::Value Stop(const Napi::CallbackInfo& info);
  Napi::Value Ref(const Napi::CallbackInfo& info);
  Napi::Value Unref(const Napi::CallbackInfo& info);
  Napi::Value ExpectBell(const Napi::CallbackInfo& info);
  Napi::Value Statistics(const Napi::CallbackInfo& info);
  Napi::Value CloseMethod(const Napi::CallbackInfo& info);

 private:
  struct Options {
    Napi::Int32Array words;
    Napi::Int32Array armed;
    int eventfd;
    uint64_t spin_ns;
    uint64_t poll_ms;
    Napi::Function on_work;
  };
  static Options OptionsFrom(const Napi::CallbackInfo& info);
  LoopWaiter(const Napi::CallbackInfo& info, const Options& options);

  void OnPrepare();
  void OnCheck();
  void OnBell(int status);
  void ListenToBell();
  void HeardOwnBell();

  bool Spin(int timeout_ms);
  /** Lets others run on this processor; true when there is work after that. `start` of the spin. */
  bool YieldFindsWork(uint64_t start);
  bool FoundSpinning(uint64_t start);
  bool ArmAndLookAgain(int timeout_ms);
  void Disarm();
  bool BackendReadable() const;
  void Serve();
  void StopHandles();
  /** Of the two handles only one exists: the bell's or the timer's. It is the one that counts for ref(). */
  uv_handle_t* main_handle() const { return bell_ ? bell_.base() : timer_.base(); }

  AddonData& data_;
  WatchedWords words_;
  WatchedWords armed_word_;
  UniqueFd eventfd_;
  SpinBudget budget_;
  uint64_t poll_ms_;
  LoopCallback on_work_;

  UvHandle<uv_prepare_t> prepare_;
  UvHandle<uv_check_t> check_;
  UvHandle<uv_idle_t> idle_;
  UvHandle<uv_poll_t> bell_;
  UvHandle<uv_timer_t> timer_;

  bool started_ = false;
  bool armed_ = false;
  uint64_t armed_at_ = 0;
  /** The last look at the clock in a spin: what is found is served without another one, which would cost as much as
   * the way of the line that told of it. */
  uint64_t looked_at_ = 0;
  /** Wake-ups this side makes itself, to know what they cost: since when one is expected, and what they took.
   */
  uint64_t expected_since_ = 0;
  std::vector<uint64_t> took_;
  double found_spinning_ = 0;
  double sleeps_ = 0;
  double bells_ = 0;
  double spurious_bells_ = 0;
};

}  // namespace ivshmem

#endif  // IVSHMEM_LOOP_WAITER_H_
