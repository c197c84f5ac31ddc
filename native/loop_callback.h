#ifndef IVSHMEM_LOOP_CALLBACK_H_
#define IVSHMEM_LOOP_CALLBACK_H_

#include <napi.h>

#include <initializer_list>

namespace ivshmem {

/**
 * A JavaScript function called from the event loop, with an async context, so that nextTicks and microtasks
 * run after it. Holds the function and the object it belongs to strongly: a watch in use is never collected.
 * Reset() lets both go.
 */
class LoopCallback {
 public:
  LoopCallback(Napi::Object self, Napi::Function function, const char* name);
  LoopCallback(const LoopCallback&) = delete;
  LoopCallback& operator=(const LoopCallback&) = delete;
  ~LoopCallback() { Reset(); }

  /**
   * Numbers become Numbers. What the function throws becomes an 'uncaughtException'.
   * False when JavaScript could not be run to its end (it threw, or the environment is stopping).
   */
  bool Call(std::initializer_list<double> numbers = {}) {
    return Invoke(numbers.begin(), numbers.size(), false);
  }
  bool CallWithFlags(std::initializer_list<double> flags) {
    return Invoke(flags.begin(), flags.size(), true);
  }

  void Reset();

 private:
  bool Invoke(const double* numbers, size_t count, bool as_booleans);

  napi_env env_;
  Napi::ObjectReference self_;
  Napi::FunctionReference function_;
  napi_async_context context_ = nullptr;
};

}  // namespace ivshmem

#endif  // IVSHMEM_LOOP_CALLBACK_H_
