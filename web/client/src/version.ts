/** The version of this package, sent to the hub in `hello`. */
export const VERSION = "0.1.0";
