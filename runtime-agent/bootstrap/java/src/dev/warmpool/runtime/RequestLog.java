package dev.warmpool.runtime;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What `/v1/status` tells about requests: all that are under way, and the last that ended. */
final class RequestLog {
  private static final int RECORDS = 100;

  enum State { queued, running, succeeded, failed, cancelled, timed_out, lost }

  static final class Entry {
    final String id;
    final long startedAtUnixMs = System.currentTimeMillis();
    State state = State.queued;
    long endedAtUnixMs;
    String exitReason;

    Entry(String id) {
      this.id = id;
    }

    Map<String, Object> shown() {
      Map<String, Object> shown = new LinkedHashMap<>();
      shown.put("id", id);
      shown.put("state", state.name());
      shown.put("startedAtUnixMs", startedAtUnixMs);
      if (endedAtUnixMs > 0) shown.put("endedAtUnixMs", endedAtUnixMs);
      if (exitReason != null) shown.put("exitReason", exitReason);
      return shown;
    }
  }

  /** Oldest first; a repeated id is the newest of its name. */
  private final LinkedHashMap<String, Entry> entries = new LinkedHashMap<>();

  Entry open(String id) {
    Entry opened = new Entry(id);
    entries.remove(id);
    entries.put(id, opened);
    Iterator<Entry> oldest = entries.values().iterator();
    while (entries.size() > RECORDS && oldest.hasNext()) if (oldest.next().endedAtUnixMs > 0) oldest.remove();
    return opened;
  }

  Entry find(String id) {
    return entries.get(id);
  }

  List<Object> list() {
    List<Object> shown = new ArrayList<>();
    for (Entry entry : entries.values()) shown.add(entry.shown());
    return shown.subList(Math.max(0, shown.size() - RECORDS), shown.size());
  }
}
