package dev.warmpool.runtime;

import java.io.File;
import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Java cannot change a process's working directory. So java.nio.file and File.getAbsolutePath are told another one, and for what
 * goes to the system with a relative path (java.io, child processes) the process runs in an empty folder of its own that gets a
 * link to each entry of the code.
 */
final class WorkingFolder {
  private static final int MAX_LINKS = 1_000;
  private final String original = System.getProperty("user.dir");
  /** Whether `launch.sh` made the folder, so that it is nobody else's. */
  private final boolean isOwn = original.endsWith("/cwd");
  private final List<Path> links = new ArrayList<>();
  private final FileSystem nio = FileSystems.getDefault();
  private final Field nioFolder = field(nio.getClass().getSuperclass(), "defaultDirectory");
  private final Field nioIsElsewhere = field(nio.getClass().getSuperclass(), "needToResolveAgainstDefaultDirectory");
  private final Object io = fileSystemOfFile();
  private final Field ioFolder = field(io.getClass(), "userDir");

  WorkingFolder() throws ReflectiveOperationException {}

  void become(String folder) throws ReflectiveOperationException {
    show(folder, true);
    if (isOwn) link(folder);
  }

  void undo() throws ReflectiveOperationException {
    for (Path link : links) link.toFile().delete();
    links.clear();
    show(original, false);
  }

  private void link(String folder) {
    String[] names = new File(folder).list();
    if (names == null || names.length > MAX_LINKS) return;
    try {
      for (String name : names) {
        links.add(Files.createSymbolicLink(Path.of(original, name), Path.of(folder, name)));
      }
      if (!links.isEmpty() && !Files.exists(links.get(0))) tell(original + " follows no links; a writable /tmp would");
    } catch (IOException error) {
      tell(error.getMessage());
    }
  }

  private static void tell(String why) {
    Output.tell("relative paths in java.io will not find the code: " + why);
  }

  private void show(String folder, boolean isElsewhere) throws ReflectiveOperationException {
    System.setProperty("user.dir", folder);
    nioFolder.set(nio, folder.getBytes(StandardCharsets.UTF_8));
    nioIsElsewhere.set(nio, isElsewhere);
    ioFolder.set(io, folder);
  }

  /** In a field that newer versions write in capitals. */
  private static Object fileSystemOfFile() throws ReflectiveOperationException {
    for (Field field : File.class.getDeclaredFields()) {
      if (!field.getName().equalsIgnoreCase("fs")) continue;
      field.setAccessible(true);
      return field.get(null);
    }
    throw new NoSuchFieldException("java.io.File.fs");
  }

  private static Field field(Class<?> owner, String name) throws ReflectiveOperationException {
    Field field = owner.getDeclaredField(name);
    field.setAccessible(true);
    return field;
  }
}
