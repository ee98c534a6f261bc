package io.panoptim.engine;

import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/** Native libraries inside jars: unpacked into a private folder named after their content, and used again only if unchanged. */
public final class NativeResource {
    private NativeResource() {}

    /** The file of this name that holds what is at the address, unpacked if it is not there yet. */
    public static Path unpack(URL url, String fileName) throws IOException {
        byte[] content;
        try (InputStream in = url.openStream()) {
            content = in.readAllBytes();
        }
        Path file = PrivateCache.folder(PrivateCache.sha256(content)).resolve(fileName);
        return Files.isRegularFile(file) && Arrays.equals(Files.readAllBytes(file), content) ? file : PrivateCache.write(file, content);
    }
}
