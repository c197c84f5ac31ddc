#ifndef IVSHMEM_ERROR_H_
#define IVSHMEM_ERROR_H_

#include <napi.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace ivshmem {

/**
 * errno -> Error{code: 'EACCES', errno: 13, syscall: 'mmap'}; the message has the shape of Node's own system
 * errors. `error` is evaluated at the call, before anything here can change errno.
 */
[[noreturn]] inline void ThrowErrno(Napi::Env env, const char* syscall, int error = errno) {
  const char* name = strerrorname_np(error);
  const char* text = strerrordesc_np(error);
  const std::string code = name != nullptr ? name : "E" + std::to_string(error);
  Napi::Error thrown =
      Napi::Error::New(env, code + ": " + (text != nullptr ? text : "unknown error") + ", " + syscall);
  thrown.Set("code", Napi::String::New(env, code));
  thrown.Set("errno", Napi::Number::New(env, error));
  thrown.Set("syscall", Napi::String::New(env, syscall));
  throw thrown;
}

[[noreturn]] inline void ThrowType(Napi::Env env, const std::string& message) {
  throw Napi::TypeError::New(env, message);
}

[[noreturn]] inline void ThrowRange(Napi::Env env, const std::string& message) {
  throw Napi::RangeError::New(env, message);
}

/** Result of a system call that fails with -1. */
template <class T>
T Checked(Napi::Env env, const char* syscall, T result) {
  if (result == static_cast<T>(-1)) ThrowErrno(env, syscall);
  return result;
}

/** For napi_* calls of the C interface: turns a failed status into the exception node-addon-api would throw.
 */
inline void CheckStatus(Napi::Env env, napi_status status) {
  if (status != napi_ok) throw Napi::Error::New(env);
}

}  // namespace ivshmem

#endif  // IVSHMEM_ERROR_H_
