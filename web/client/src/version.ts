/** This package's version, as the hub is told it. */
export const VERSION = "0.1.0";
