{
  "variables": { "sanitize%": "" },
  "targets": [
    {
      "target_name": "addon",
      "sources": [
        "addon.cc",
        "addon_data.cc",
        "abi.cc",
        "bus_guard.cc",
        "control_message.cc",
        "copy.cc",
        "dsm/fault_handler.cc",
        "dsm/fault_queue.cc",
        "dsm/member_memory.cc",
        "dsm/member_lease.cc",
        "dsm/member_orders.cc",
        "dsm/member_rings.cc",
        "dsm/member_service.cc",
        "dsm/member_space.cc",
        "eventfd.cc",
        "fd_watch.cc",
        "huge_pages.cc",
        "interrupt_thread.cc",
        "loop_callback.cc",
        "loop_waiter.cc",
        "mapping.cc",
        "memory_functions.cc",
        "message.cc",
        "notify.cc",
        "process.cc",
        "thread_seat.cc",
        "thread_share.cc",
        "tun/open_tun.cc",
        "tun/packet_pump.cc",
        "tun/pump.cc",
        "tun/pump_packets.cc",
        "unix_socket.cc",
        "vfio.cc",
        "watched_words.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")", "."],
      "defines": [
        "NAPI_VERSION=9",
        "NAPI_CPP_EXCEPTIONS",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
        "NODE_ADDON_API_DISABLE_DEPRECATED",
        "_GNU_SOURCE"
      ],
      "cflags!": ["-O3", "-fno-exceptions"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-exceptions", "-fno-rtti"],
      "cflags": [
        "-Wall", "-Wextra", "-Werror",
        "-fvisibility=hidden", "-ffunction-sections", "-fdata-sections",
        "-fstack-protector-strong", "-fno-plt"
      ],
      "cflags_cc": ["-std=c++20", "-fexceptions", "-fno-rtti", "-fvisibility-inlines-hidden"],
      "ldflags": [
        "-static-libstdc++", "-static-libgcc",
        "-Wl,--gc-sections", "-Wl,--exclude-libs,ALL", "-Wl,-z,relro,-z,now,-z,nodelete", "-Wl,--build-id=none"
      ],
      "configurations": {
        "Release": {
          "cflags!": ["-O3"],
          "cflags": ["-O2"],
          "ldflags": ["-s"]
        }
      },
      "conditions": [
        ["sanitize!=''", {
          "cflags": ["-fsanitize=<(sanitize)", "-g", "-fno-omit-frame-pointer"],
          "ldflags!": ["-s", "-static-libstdc++", "-static-libgcc"],
          "ldflags": ["-fsanitize=<(sanitize)"]
        }]
      ]
    },
    {
      "target_name": "hosts",
      "sources": [
        "dsm/home.cc",
        "dsm/protocol.cc",
        "dsm/release.cc",
        "dsm/release_copies.cc",
        "dsm/release_views.cc",
        "eventfd.cc",
        "hosts/addon.cc",
        "hosts/connection.cc",
        "hosts/diff.cc",
        "hosts/engine.cc",
        "hosts/engine_commands.cc",
        "hosts/event_queue.cc",
        "hosts/frames.cc",
        "hosts/member_rings.cc",
        "hosts/node_engine.cc",
        "hosts/peers.cc",
        "hosts/record_socket.cc",
        "hosts/space.cc",
        "hosts/space_calls.cc",
        "hosts/space_members.cc",
        "hosts/space_release.cc",
        "hosts/tls.cc",
        "hosts/wire.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")", "."],
      "defines": [
        "NAPI_VERSION=9",
        "NAPI_CPP_EXCEPTIONS",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
        "NODE_ADDON_API_DISABLE_DEPRECATED",
        "_GNU_SOURCE"
      ],
      "cflags!": ["-O3", "-fno-exceptions"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-exceptions", "-fno-rtti"],
      "cflags": [
        "-Wall", "-Wextra", "-Werror",
        "-fvisibility=hidden", "-ffunction-sections", "-fdata-sections",
        "-fstack-protector-strong", "-fno-plt"
      ],
      "cflags_cc": ["-std=c++20", "-fexceptions", "-fno-rtti", "-fvisibility-inlines-hidden"],
      "ldflags": [
        "-static-libstdc++", "-static-libgcc",
        "-Wl,--gc-sections", "-Wl,--exclude-libs,ALL", "-Wl,-z,relro,-z,now", "-Wl,--build-id=none"
      ],
      "configurations": {
        "Release": {
          "cflags!": ["-O3"],
          "cflags": ["-O2"],
          "ldflags": ["-s"]
        }
      },
      "conditions": [
        ["sanitize!=''", {
          "cflags": ["-fsanitize=<(sanitize)", "-g", "-fno-omit-frame-pointer"],
          "ldflags!": ["-s", "-static-libstdc++", "-static-libgcc"],
          "ldflags": ["-fsanitize=<(sanitize)"]
        }]
      ]
    },
    {
      "target_name": "guardian",
      "type": "executable",
      "sources": ["guardian/guardian.c"],
      "cflags!": ["-O3", "-fPIC", "-pthread"],
      "cflags": [
        "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror",
        "-fPIE", "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"
      ],
      "ldflags!": ["-pthread", "-rdynamic"],
      "ldflags": ["-pie", "-Wl,-z,relro,-z,now,-z,noexecstack", "-Wl,--build-id=none"],
      "configurations": { "Release": { "cflags!": ["-O3"], "ldflags": ["-s"] } }
    }
  ]
}
