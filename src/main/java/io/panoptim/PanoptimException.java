package io.panoptim;

/** What the library refuses or cannot do. Unless {@link Code#FAULT} says otherwise, nothing was written. */
public class PanoptimException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** The kinds of failure that a caller can tell apart. */
    public enum Code {
        /** An argument is wrong. */
        INVALID,
        /** A tensor's memory, an engine or an optimizer is closed. */
        CLOSED,
        /** Something is used from two threads at a time, or from a thread that may not. */
        CONCURRENT,
        /** The engine does not do that. */
        UNSUPPORTED,
        /** A library, a device or a file cannot be had. */
        UNAVAILABLE,
        /** No memory or no thread is left. */
        EXHAUSTED,
        /** Something failed half-way, or did before: results may be half-written. */
        FAULT
    }

    private final Code code;
    private final String call;

    /**
     * @param code what kind of failure
     * @param call the call or class that failed, for example {@code Adam.step}
     * @param message what was wrong, what was expected, what to do
     */
    public PanoptimException(Code code, String call, String message) {
        super(call + ": " + message);
        this.code = code;
        this.call = call;
    }

    /** As above, with the exception that brought it about. */
    public PanoptimException(Code code, String call, String message, Throwable cause) {
        super(call + ": " + message, cause);
        this.code = code;
        this.call = call;
    }

    /** An argument that was refused. */
    public static PanoptimException invalid(String call, String message) {
        return new PanoptimException(Code.INVALID, call, message);
    }

    /** Something that this version or engine does not do. */
    public static PanoptimException unsupported(String call, String message) {
        return new PanoptimException(Code.UNSUPPORTED, call, message);
    }

    public Code code() {
        return code;
    }

    /** The call that failed. */
    public String call() {
        return call;
    }
}
