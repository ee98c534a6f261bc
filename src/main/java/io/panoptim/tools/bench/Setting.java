package io.panoptim.tools.bench;

/**
 * What all contenders share.
 *
 * @param threads the same number for each
 * @param python the command by which Python is called
 */
public record Setting(int threads, String python) {}
