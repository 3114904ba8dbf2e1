"""Sends OpenPGP mail through an SMTP server on loopback and decrypts what arrives in a Maildir. mail.sh runs it."""

import argparse
import json
import os
import queue
import smtplib
import subprocess
import sys
import threading
import time

GPG = ["gpg", "--batch", "--quiet", "--no-tty", "--trust-model", "always"]


def seal(body):
    made = subprocess.run(GPG + ["--local-user", "sender@bench.invalid", "--recipient", "recipient@bench.invalid", "--armor", "--sign", "--encrypt"],
                          input=body, capture_output=True, check=True)
    return made.stdout


def open_mail(path, out):
    """Decrypts, demands a good signature, and has the plaintext on disk when it returns."""
    with open(path, "rb") as f:
        text = f.read()
    start = text.index(b"-----BEGIN PGP MESSAGE-----")
    got = subprocess.run(GPG + ["--status-fd", "2", "--decrypt"], input=text[start:], capture_output=True, check=True)
    if b"[GNUPG:] GOODSIG " not in got.stderr:
        raise RuntimeError("a mail without a good signature")
    part = os.path.join(out, "." + os.path.basename(path))
    with open(part, "wb") as f:
        f.write(got.stdout)
        f.flush()
        os.fsync(f.fileno())
    os.rename(part, os.path.join(out, os.path.basename(path)))
    folder = os.open(out, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    os.unlink(path)


class Post:
    def __init__(self, args):
        self.args, self.errors, self.jobs, self.seen = args, [], queue.Queue(), set()
        self.body = (json.dumps({"referral": {"summary": "Test Person A. " * (args.size // 15)}}).encode())[: args.size].ljust(args.size)

    def send(self, count):
        try:
            smtp = smtplib.SMTP("127.0.0.1", self.args.port)
            for _ in range(count):
                mail = b"From: sender@bench.invalid\r\nTo: recipient@bench.invalid\r\nSubject: referral\r\n\r\n" + seal(self.body).replace(b"\n", b"\r\n")
                smtp.sendmail("sender@bench.invalid", ["recipient@bench.invalid"], mail)
            smtp.quit()
        except Exception as e:
            self.errors.append(e)

    def receive(self, done, want):
        try:
            while len(done) < want and not self.errors:
                try:
                    path = self.jobs.get(timeout=0.001)
                except queue.Empty:
                    continue
                open_mail(path, self.args.out)
                done.append(path)
        except Exception as e:
            self.errors.append(e)

    def watch(self, done, want):
        new = os.path.join(self.args.box, "new")
        while len(done) < want and not self.errors:
            for name in os.listdir(new) if os.path.isdir(new) else []:
                if name not in self.seen:
                    self.seen.add(name)
                    self.jobs.put(os.path.join(new, name))
            time.sleep(0.001)

    def carry(self, count):
        """Returns the seconds from the first sealing to the last decrypted file on disk."""
        workers, done = min(count, os.cpu_count() or 1), []
        shares = [count // workers + (i < count % workers) for i in range(workers)]
        threads = [threading.Thread(target=self.send, args=(n,)) for n in shares]
        threads += [threading.Thread(target=self.receive, args=(done, count)) for _ in range(workers)]
        threads.append(threading.Thread(target=self.watch, args=(done, count)))
        began = time.monotonic()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if self.errors:
            raise self.errors[0]
        return time.monotonic() - began


def main():
    p = argparse.ArgumentParser()
    for name, kind in {"port": int, "box": str, "out": str, "messages": int, "idle": int, "size": int}.items():
        p.add_argument("--" + name, type=kind, required=True)
    args = p.parse_args()
    post = Post(args)
    alone = sorted(post.carry(1) for _ in range(args.idle))
    took = post.carry(args.messages)
    if len(os.listdir(args.out)) != args.messages + args.idle:
        sys.exit("mail: not every mail arrived")
    out = {"peer": "mail", "messages": args.messages, "messages_per_s": args.messages / took, "ms_per_message": took * 1000 / args.messages}
    if alone:
        out["idle_p50_ms"] = alone[len(alone) // 2] * 1000
    print(json.dumps(out))


main()
