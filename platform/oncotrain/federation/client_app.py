"""Flower wants every app to name one for its clients. Ours answers nothing: sites take messages themselves."""

from flwr.clientapp import ClientApp

app = ClientApp()
