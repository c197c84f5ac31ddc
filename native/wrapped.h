#ifndef IVSHMEM_WRAPPED_H_
#define IVSHMEM_WRAPPED_H_

#include <napi.h>

#include <exception>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "error.h"

namespace ivshmem {

/** Runs a callback body; no C++ exception leaves it. */
template <class Body>
napi_value Guarded(napi_env env, Body body) {
  try {
    return body();
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
  } catch (const std::exception& error) {
    napi_throw_error(env, nullptr, error.what());
  }
  return nullptr;
}

/**
 * Classes for JavaScript whose objects carry a type tag, so that a method borrowed to any other object (of
 * another class of this addon, of another addon, or none) throws instead of reading memory of the wrong type.
 * T has `static constexpr const char* kName`, `static constexpr napi_type_tag kTag` and a constructor from
 * CallbackInfo.
 */
template <class T>
class Wrapped {
 public:
  static T* From(Napi::Env env, napi_value value) {
    bool tagged = false;
    void* object = nullptr;
    napi_valuetype type = napi_undefined;
    CheckStatus(env, napi_typeof(env, value, &type));
    if (type == napi_object) CheckStatus(env, napi_check_object_type_tag(env, value, &T::kTag, &tagged));
    if (!tagged || napi_unwrap(env, value, &object) != napi_ok) {
      ThrowType(env, std::string("Illegal invocation: not a ") + T::kName);
    }
    return static_cast<T*>(object);
  }

  template <Napi::Value (T::*member)(const Napi::CallbackInfo&)>
  static napi_property_descriptor Method(const char* name) {
    return {name, nullptr, Call<member>, nullptr, nullptr, nullptr, napi_default_method, nullptr};
  }

  template <Napi::Value (T::*member)(const Napi::CallbackInfo&)>
  static napi_property_descriptor Getter(const char* name) {
    return {name, nullptr, nullptr, Call<member>, nullptr, nullptr, napi_enumerable, nullptr};
  }

  static Napi::Function Define(Napi::Env env, std::initializer_list<napi_property_descriptor> members) {
    napi_value constructor = nullptr;
    CheckStatus(env, napi_define_class(env, T::kName, NAPI_AUTO_LENGTH, Construct, nullptr, members.size(),
                                       std::data(members), &constructor));
    return Napi::Function(env, constructor);
  }

 private:
  template <Napi::Value (T::*member)(const Napi::CallbackInfo&)>
  static napi_value Call(napi_env env, napi_callback_info raw) {
    return Guarded(env, [&]() -> napi_value {
      Napi::CallbackInfo info(env, raw);
      return (From(env, info.This())->*member)(info);
    });
  }

  static napi_value Construct(napi_env env, napi_callback_info raw) {
    return Guarded(env, [&]() -> napi_value {
      Napi::CallbackInfo info(env, raw);
      if (!info.IsConstructCall()) ThrowType(env, std::string(T::kName) + " must be called with new");
      auto object = std::make_unique<T>(info);
      CheckStatus(env, napi_type_tag_object(env, info.This(), &T::kTag));
      CheckStatus(env, napi_wrap(env, info.This(), object.get(), Finalize, nullptr, nullptr));
      object.release();
      return info.This();
    });
  }

  static void Finalize(napi_env, void* object, void*) { delete static_cast<T*>(object); }
};

}  // namespace ivshmem

#endif  // IVSHMEM_WRAPPED_H_
