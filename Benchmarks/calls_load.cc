// Unary calls with a number of them in flight: calls_load ADDRESS METHOD REQUEST_IN_HEX SECONDS FLIGHT
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;

struct Load {
  grpc::GenericStub stub;
  std::string method;
  grpc::ByteBuffer request;
  Clock::time_point end;
  std::atomic<int> running{0}, failed{0};
  std::mutex lock;
  std::vector<float> times;

  explicit Load(std::shared_ptr<grpc::Channel> channel) : stub(channel) {}
};

struct Call {
  Load& load;
  std::unique_ptr<grpc::ClientContext> context;
  grpc::ByteBuffer answer;
  Clock::time_point begun;

  explicit Call(Load& load) : load(load) {}

  void next() {
    begun = Clock::now();
    if (begun >= load.end) {
      load.running--;
      return;
    }
    context = std::make_unique<grpc::ClientContext>();
    answer.Clear();
    load.stub.UnaryCall(context.get(), load.method, grpc::StubOptions(), &load.request, &answer, [this](grpc::Status status) {
      float time = std::chrono::duration<float, std::milli>(Clock::now() - begun).count();
      if (!status.ok() && load.failed++ == 0) std::fprintf(stderr, "%s\n", status.error_message().c_str());
      {
        std::lock_guard<std::mutex> guard(load.lock);
        load.times.push_back(time);
      }
      next();
    });
  }
};

int main(int count, char** words) {
  if (count != 6) return 2;
  Load load(grpc::CreateChannel(words[1], grpc::InsecureChannelCredentials()));
  load.method = words[2];
  std::string hex = words[3], bytes;
  for (size_t place = 0; place + 1 < hex.size(); place += 2) bytes += static_cast<char>(std::stoi(hex.substr(place, 2), nullptr, 16));
  grpc::Slice slice(bytes);
  load.request = grpc::ByteBuffer(&slice, 1);
  double seconds = std::atof(words[4]);
  load.end = Clock::now() + std::chrono::milliseconds(static_cast<int>(seconds * 1000));
  int flight = std::atoi(words[5]);
  std::vector<std::unique_ptr<Call>> calls;
  load.running = flight;
  for (int number = 0; number < flight; number++) {
    calls.push_back(std::make_unique<Call>(load));
    calls.back()->next();
  }
  while (load.running > 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  std::sort(load.times.begin(), load.times.end());
  float p99 = load.times.empty() ? 0 : load.times[load.times.size() * 99 / 100];
  std::printf("%.0f calls/s, p99 %.2f ms, %d failed\n", load.times.size() / seconds, p99, load.failed.load());
}
