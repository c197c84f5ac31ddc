#include "loop_callback.h"

#include <array>
#include <utility>

#include "error.h"

namespace ivshmem {

LoopCallback::LoopCallback(Napi::Object self, Napi::Function function, const char* name)
    : env_(self.Env()), self_(Napi::Persistent(self)), function_(Napi::Persistent(function)) {
  CheckStatus(env_, napi_async_init(env_, self, Napi::String::New(env_, name), &context_));
}

void LoopCallback::Reset() {
  if (context_ != nullptr) napi_async_destroy(env_, std::exchange(context_, nullptr));
  self_.Reset();
  function_.Reset();
}

bool LoopCallback::Invoke(const double* numbers, size_t count, bool as_booleans) {
  // The C interface on purpose: in a worker that is being terminated every call may fail, and that must not
  // throw here.
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(env_, &scope) != napi_ok) return false;
  napi_value self = nullptr;
  napi_value function = nullptr;
  napi_value result = nullptr;
  std::array<napi_value, 3> arguments{};
  bool ready = count <= arguments.size() && context_ != nullptr &&
               napi_get_reference_value(env_, self_, &self) == napi_ok && self != nullptr &&
               napi_get_reference_value(env_, function_, &function) == napi_ok && function != nullptr;
  for (size_t i = 0; ready && i < count; ++i) {
    ready = (as_booleans ? napi_get_boolean(env_, numbers[i] != 0, &arguments[i])
                         : napi_create_double(env_, numbers[i], &arguments[i])) == napi_ok;
  }
  bool done = false;
  if (ready) {
    done = napi_make_callback(env_, context_, self, function, count, arguments.data(), &result) == napi_ok;
    bool pending = false;
    napi_value thrown = nullptr;
    if (!done && napi_is_exception_pending(env_, &pending) == napi_ok && pending &&
        napi_get_and_clear_last_exception(env_, &thrown) == napi_ok) {
      napi_fatal_exception(env_, thrown);
    }
  }
  napi_close_handle_scope(env_, scope);
  return done;
}

}  // namespace ivshmem
