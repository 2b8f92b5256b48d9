"""Tests of the store, each on fakeredis, Valkey and Redis where a server matters."""
