"""What people and other programs hold in the hand: command line, reports, web page, scaffold, deepinv."""
