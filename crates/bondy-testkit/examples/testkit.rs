//! The testkit over standard input and output, as `bondy testkit` is it: for whoever has the crate and not the binary.

fn main() -> std::io::Result<()> {
    bondy_testkit::command::run_process()
}
