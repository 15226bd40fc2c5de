"""Trains by a configuration in however many processes it is started; argument: the configuration."""

import sys

from mobile_vla_models.training import train

if __name__ == "__main__":
    train(sys.argv[1])
