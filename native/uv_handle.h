#ifndef IVSHMEM_UV_HANDLE_H_
#define IVSHMEM_UV_HANDLE_H_

#include <uv.h>

#include "addon_data.h"
#include "error.h"

namespace ivshmem {

/**
 * Owns one uv handle. Its memory belongs to libuv from a successful init until the uv_close callback, so it
 * lives on the heap, apart from the object that uses it, and its callbacks find that object in handle->data.
 */
template <class T>
class UvHandle {
 public:
  UvHandle() = default;
  UvHandle(const UvHandle&) = delete;
  UvHandle& operator=(const UvHandle&) = delete;
  ~UvHandle() { Close(); }

  /** `init` is one of uv_*_init with the loop and further arguments bound; it returns 0 or a negative errno.
   */
  template <class Init>
  void Open(Napi::Env env, AddonData& data, void* owner, const char* what, Init init) {
    auto* box = new Box{};
    box->data = &data;
    const int status = init(data.loop(), &box->handle);
    if (status != 0) {
      delete box;
      ThrowErrno(env, what, -status);
    }
    box->handle.data = owner;
    data.HandleOpened();
    box_ = box;
    uv_unref(base());
  }

  void Close() {
    if (box_ == nullptr) return;
    uv_close(base(), [](uv_handle_t* handle) {
      auto* box = reinterpret_cast<Box*>(handle);
      AddonData* data = box->data;
      delete box;
      data->HandleClosed();
    });
    box_ = nullptr;
  }

  T* get() const { return &box_->handle; }
  uv_handle_t* base() const { return reinterpret_cast<uv_handle_t*>(&box_->handle); }
  explicit operator bool() const { return box_ != nullptr; }

 private:
  struct Box {
    T handle;  // First: the close callback gets its address.
    AddonData* data;
  };
  Box* box_ = nullptr;
};

}  // namespace ivshmem

#endif  // IVSHMEM_UV_HANDLE_H_
