"""PURE: what an error of the file system means for a mirror, and what to do about it."""

import errno

_REMEDIES = {
    errno.ENOSPC: "there is no space left; the mirror continues when there is",
    errno.EDQUOT: "the quota is used up; the mirror continues when there is room again",
    errno.EROFS: "the file system is read-only; mount it for writing, or choose another directory",
    errno.EACCES: "permission denied; the user of the mirror has to own the directory and everything in it",
    errno.EPERM: "not permitted; the user of the mirror has to own the directory and everything in it",
    errno.EXDEV: "it is on another file system than the directory of the mirror; mount or link the whole directory",
    errno.ENOTDIR: "a file is where the mirror needs a directory; move it away",
    errno.EEXIST: "a file is where the mirror needs a directory; move it away",
    errno.EISDIR: "a directory is where the mirror needs a file; move it away",
    errno.ENOTEMPTY: "a directory is where the mirror needs a file; move it away",
    errno.ENOENT: "it does not exist; was the directory of the mirror removed? Start the mirror again",
    errno.ENOLCK: "the file system has no locks, which exclude a second mirror; choose another directory",
    errno.EOPNOTSUPP: "the file system has no locks, which exclude a second mirror; choose another directory",
    errno.ETIMEDOUT: "the file system does not answer",
    errno.EIO: "input or output failed; look at the log of the kernel",
}


def explain(error: OSError, where: str) -> str:
    """Return a sentence about an error in the directory `where`, with the file that it is about."""
    about = str(error.filename2 or error.filename or where)
    place = where if about == where or not about.startswith("/") else about
    return f"{place}: {_REMEDIES.get(error.errno or 0, error.strerror or str(error))}"
