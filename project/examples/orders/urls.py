"""The addresses of the views of the example."""

from django.urls import path

from . import views

__all__ = ["urlpatterns"]

urlpatterns = [
    path("place/", views.place, name="orders-place"),
    path("<int:pk>/advance/", views.advance, name="orders-advance"),
    path("<int:pk>/fail/", views.fail, name="orders-fail"),
    path("<int:pk>/cancel/", views.cancel, name="orders-cancel"),
]
