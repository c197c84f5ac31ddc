#include "peers.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ivshmem::hosts {

namespace {

constexpr int kFramesInARow = 256;
// What has come is given to the members before the rest is read, so that they ask for more meanwhile.
constexpr size_t kBytesInARow = 256 << 10;
// Connections whose peer has not said yet who it is. The oldest makes room for another one: who only connects
// keeps nobody out.
constexpr int kStrangers = 32;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
};

bool Parse(const std::string& text, uint16_t port, SocketAddress& address) {
  auto* four = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, text.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    address.length = sizeof *four;
    return true;
  }
  if (inet_pton(AF_INET6, text.c_str(), &six->sin6_addr) != 1) return false;
  six->sin6_family = AF_INET6;
  six->sin6_port = htons(port);
  address.length = sizeof *six;
  return true;
}

int Socket(int family) { return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

// errno of what failed; the descriptor is closed.
int Abandon(int fd) {
  const int error = errno;
  close(fd);
  return error;
}

}  // namespace

Peers::Peers(int epoll, Hello own, uint64_t patience_ns, PeerSink& sink)
    : epoll_(epoll), own_(std::move(own)), patience_(patience_ns), sink_(sink) {}

Peers::~Peers() {
  if (listener_ >= 0) close(listener_);
}

int Peers::Listen(const std::string& text, uint16_t& port) {
  if (listener_ >= 0) return EISCONN;
  SocketAddress address;
  if (!Parse(text, port, address)) return EINVAL;
  const int fd = Socket(address.storage.ss_family);
  if (fd < 0) return errno;
  const int on = 1;
  // A server that is started again right away finds its port.
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, address.raw(), address.length) != 0 || listen(fd, 64) != 0) return Abandon(fd);
  if (getsockname(fd, address.raw(), &address.length) != 0) return Abandon(fd);
  port =
      ntohs(address.storage.ss_family == AF_INET ? reinterpret_cast<sockaddr_in*>(address.raw())->sin_port
                                                 : reinterpret_cast<sockaddr_in6*>(address.raw())->sin6_port);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kListenerKey;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) return Abandon(fd);
  listener_ = fd;
  accepting_ = true;
  return 0;
}

void Peers::Expect(dsm::NodeId node, const std::string& name) {
  if (names_[node] == name) return;
  names_[node] = name;
  Disconnect(node, "it is not expected any more");
}

int Peers::Connect(dsm::NodeId node, const std::string& text, uint16_t port, uint64_t now) {
  if (up_[node] != nullptr) return 0;
  SocketAddress address;
  if (!Parse(text, port, address)) return EINVAL;
  const int fd = Socket(address.storage.ss_family);
  if (fd < 0) return errno;
  if (connect(fd, address.raw(), address.length) != 0 && errno != EINPROGRESS) return Abandon(fd);
  Add(fd, true, node, now);
  return 0;
}

void Peers::Disconnect(dsm::NodeId node, const std::string& why) {
  for (auto& [key, connection] : connections_) {
    if (connection->node == node) connection->Break(why);
  }
  Reap();
}

Connection* Peers::up(dsm::NodeId node) const {
  Connection* connection = up_[node];
  return connection != nullptr && connection->stage() == Connection::Stage::kOpen ? connection : nullptr;
}

void Peers::Add(int fd, bool client, int node, uint64_t now) {
  const int on = 1;
  const auto timeout = static_cast<unsigned>(std::max<uint64_t>(1, patience_ / 1'000'000));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
  auto connection = std::make_unique<Connection>(fd, context_.get(), client, now, now + patience_);
  connection->node = node;
  const uint64_t key = next_key_++;
  epoll_event event{};
  event.data.u64 = key;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) connection->Break(strerrordesc_np(errno));
  Watch(key, *connection);
  connections_.emplace(key, std::move(connection));
}

void Peers::Accept(uint64_t now) {
  const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
    // There is no descriptor for it: it would be reported for ever. Again at the next Check.
    accepting_ = false;
    epoll_event event{};
    event.data.u64 = kListenerKey;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, listener_, &event);
    return;
  }
  const auto stranger = [](const auto& item) {
    const Connection& connection = *item.second;
    return !connection.client() && !connection.up && connection.stage() != Connection::Stage::kBroken;
  };
  // By key, hence by age.
  if (std::count_if(connections_.begin(), connections_.end(), stranger) >= kStrangers) {
    const auto oldest = std::find_if(connections_.begin(), connections_.end(), stranger);
    oldest->second->Break("too many who have not said who they are");
  }
  Add(fd, false, -1, now);
}

void Peers::Ready(uint64_t key, uint32_t events, uint64_t now) {
  if (key == kListenerKey) return Accept(now);
  const auto found = connections_.find(key);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  if (connection.stage() == Connection::Stage::kConnecting ||
      connection.stage() == Connection::Stage::kHandshake) {
    connection.Advance();
    if (connection.stage() == Connection::Stage::kOpen) Greet(connection);
  }
  if (connection.paused && (events & (EPOLLHUP | EPOLLERR)) != 0)
    connection.Break("closed by the other side");
  if ((events & EPOLLOUT) != 0) connection.Flush(now);
  Read(connection, now);
}

void Peers::Greet(Connection& connection) {
  std::vector<std::byte> body = EncodeHello(own_);
  Frame frame;
  frame.type = kHello;
  frame.length = static_cast<uint32_t>(body.size());
  connection.Send(frame, std::move(body));
}

void Peers::Read(Connection& connection, uint64_t now) {
  connection.unread = false;
  size_t bytes = 0;
  for (int row = 0; row < kFramesInARow && bytes < kBytesInARow; row++) {
    if (connection.paused) return;
    if (connection.Receive(now) != Connection::Got::kFrame) {
      connection.unread = connection.ahead();
      return;
    }
    const Frame& frame = connection.frame();
    bytes += kHeaderBytes + frame.length;
    if (!connection.up) {
      const std::string why = Welcome(connection);
      if (!why.empty()) return connection.Break(why);
    } else if (frame.type == kHello) {
      return connection.Break("it said twice who it is");
    } else if (frame.type != kAlive &&
               !sink_.Take(static_cast<dsm::NodeId>(connection.node), frame, connection.body())) {
      connection.paused = true;
      connection.paused_at = now;
      return;
    }
  }
  connection.unread = true;
}

bool Peers::initiated_by(const Connection& connection, dsm::NodeId node) const {
  return connection.client() == (node == own_.node);
}

std::string Peers::Welcome(Connection& connection) {
  const std::optional<Hello> hello =
      connection.frame().type == kHello ? DecodeHello(connection.body()) : std::nullopt;
  if (!hello) return "it speaks another protocol";
  if (hello->cluster != own_.cluster) return "it is of another cluster";
  const bool other = connection.client() && hello->node != connection.node;
  if (hello->node == own_.node || other) return "it is another node than was expected";
  const std::string& name = names_[hello->node];
  if (name.empty()) return "node " + std::to_string(hello->node) + " is not expected";
  if (!HasName(connection.ssl(), name)) return "its certificate is not for " + name;
  connection.node = hello->node;
  if (Connection* before = up_[hello->node]; before != nullptr) {
    // When both sides connect at once, both keep the one of the lower node; else the later one is the truth.
    const dsm::NodeId lower = std::min(own_.node, hello->node);
    if (before->stage() == Connection::Stage::kOpen && initiated_by(*before, lower) &&
        !initiated_by(connection, lower)) {
      return "it is connected already";
    }
    before->up = false;
    before->node = -1;
    before->Break("it connected anew");
    up_[hello->node] = nullptr;
    sink_.Down(hello->node, before->why());
  }
  connection.up = true;
  up_[hello->node] = &connection;
  sink_.Up(hello->node);
  return {};
}

void Peers::Retry(uint64_t now) {
  for (auto& [key, connection] : connections_) {
    if (!connection->paused || connection->stage() != Connection::Stage::kOpen) continue;
    const auto node = static_cast<dsm::NodeId>(connection->node);
    if (!sink_.Take(node, connection->frame(), connection->body())) continue;
    connection->paused = false;
    connection->heard_at = now;
    connection->unread = true;
  }
}

bool Peers::Work(uint64_t now) {
  bool more = false;
  for (auto& [key, connection] : connections_) {
    if (connection->unread) Read(*connection, now);
    more |= connection->unread;
  }
  // What was read may have given something to say to anybody.
  return Send(now) || more;
}

bool Peers::Send(uint64_t now) {
  bool more = false;
  for (auto& [key, connection] : connections_) {
    if (connection->has_more()) connection->Flush(now);
    more |= connection->has_more();
    Watch(key, *connection);
  }
  Reap();
  return more;
}

void Peers::Watch(uint64_t key, Connection& connection) {
  const uint32_t wanted = (connection.wants_read() ? static_cast<uint32_t>(EPOLLIN) : 0) |
                          (connection.wants_write() ? static_cast<uint32_t>(EPOLLOUT) : 0);
  if (wanted == connection.watched || connection.stage() == Connection::Stage::kBroken) return;
  epoll_event event{};
  event.events = wanted;
  event.data.u64 = key;
  if (epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd(), &event) != 0)
    connection.Break(strerrordesc_np(errno));
  connection.watched = wanted;
}

void Peers::Reap() {
  for (auto next = connections_.begin(); next != connections_.end();) {
    const auto at = next++;
    if (at->second->stage() != Connection::Stage::kBroken) continue;
    const std::unique_ptr<Connection> gone = std::move(at->second);
    connections_.erase(at);
    const auto node = static_cast<dsm::NodeId>(gone->node);
    if (gone->up) {
      up_[node] = nullptr;
      sink_.Down(node, gone->why());
    } else if (!gone->client()) {
      // Of one that was replaced, the end was told; the other end of two at once is no stranger.
      const bool known = gone->node >= 0 && up_[node] != nullptr;
      if (!known && gone->why() != "it connected anew") sink_.Refused(gone->why());
    } else if (gone->node >= 0 && up_[node] == nullptr) {
      sink_.Down(node, gone->why());
    }
  }
}

void Peers::Check(uint64_t now) {
  if (listener_ >= 0 && !accepting_) {
    accepting_ = true;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = kListenerKey;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, listener_, &event);
  }
  for (auto& [key, connection] : connections_) {
    if (!connection->up) {
      if (now >= connection->deadline) connection->Break("it did not say in time who it is");
      continue;
    }
    // What is not read is not heard.
    if (connection->paused) {
      if (now - connection->paused_at > patience_)
        connection->Break("it is ahead: what it said could not be taken in time");
    } else if (now - connection->heard_at > patience_) {
      connection->Break("no sign of life");
    }
    if (connection->wants_write() && now - connection->taken_at > patience_)
      connection->Break("it takes nothing");
    if (!connection->wants_write() && now - connection->said_at > patience_ / 4) connection->Send(Frame{});
  }
}

void Peers::Forget(const Space& space) {
  for (auto& [key, connection] : connections_) connection->Forget(space);
}

void Peers::Excuse() {
  for (auto& [key, connection] : connections_) connection->Excuse();
}

}  // namespace ivshmem::hosts
