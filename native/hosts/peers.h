// The connections to other nodes: who listens, who is believed, who is up. A peer is believed when its
// certificate is valid, has the name that is expected of the node it says to be, and its cluster is ours.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "connection.h"

namespace ivshmem::hosts {

class PeerSink {
 public:
  virtual void Up(dsm::NodeId node) = 0;
  virtual void Down(dsm::NodeId node, const std::string& why) = 0;
  virtual void Refused(const std::string& why) = 0;
  // False: not now; it is to be given again by Retry().
  virtual bool Take(dsm::NodeId node, const Frame& frame, std::span<const std::byte> body) = 0;

 protected:
  ~PeerSink() = default;
};

class Peers {
 public:
  // In epoll's data: the listener, and from kFirstKey on the connections. Lower ones are the owner's.
  static constexpr uint64_t kListenerKey = 15, kFirstKey = 16;

  Peers(int epoll, Hello own, uint64_t patience_ns, PeerSink& sink);
  ~Peers();

  void Identify(SslContext context) { context_ = std::move(context); }
  // errno, or 0; `port` is filled in.
  int Listen(const std::string& address, uint16_t& port);
  // An empty name: nobody.
  void Expect(dsm::NodeId node, const std::string& name);
  // errno, or 0 when the attempt has begun, or the node is up.
  int Connect(dsm::NodeId node, const std::string& address, uint16_t port, uint64_t now);
  void Disconnect(dsm::NodeId node, const std::string& why);

  // Null: not up.
  Connection* up(dsm::NodeId node) const;

  void Ready(uint64_t key, uint32_t events, uint64_t now);
  // Frames that waited are given to the sink again.
  void Retry(uint64_t now);
  // Reads what is left to read, and sends. True: there is more to do.
  bool Work(uint64_t now);
  // Sends, and forgets who is gone. True: there is more to send.
  bool Send(uint64_t now);
  // Now and then: signs of life, and who gave none.
  void Check(uint64_t now);
  void Forget(const Space& space);
  // Another view comes.
  void Excuse();

 private:
  void Accept(uint64_t now);
  void Add(int fd, bool client, int node, uint64_t now);
  void Read(Connection& connection, uint64_t now);
  void Greet(Connection& connection);
  // Empty: it is up now.
  std::string Welcome(Connection& connection);
  void Watch(uint64_t key, Connection& connection);
  void Reap();
  bool initiated_by(const Connection& connection, dsm::NodeId node) const;

  int epoll_;
  Hello own_;
  uint64_t patience_;
  PeerSink& sink_;
  SslContext context_;
  int listener_ = -1;
  bool accepting_ = false;
  uint64_t next_key_ = kFirstKey;
  std::map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::array<Connection*, dsm::kMaxNodes> up_{};
  std::array<std::string, dsm::kMaxNodes> names_;
};

}  // namespace ivshmem::hosts
