package dev.warmpool.runtime;

/** What answers the requests of one listening socket. Both methods are called on the agent's thread. */
interface HttpServer {
  /** How many bytes of body a request may have, known from its head. */
  int bodyLimitBytes(HttpRequest head);

  /** To be answered with exactly one {@link HttpConnection#answer} or stream, on the agent's thread, now or later. */
  void serve(HttpRequest request, HttpConnection connection);

  /** A connection without a request is closed after this time; 0 keeps it. */
  default long idleLimitMs() {
    return 0;
  }
}
