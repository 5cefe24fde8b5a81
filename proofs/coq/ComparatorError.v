(* Written by `python proofs/check.py --generate` from the registry of bomrl_theory. Do not edit. *)
From Coq Require Import Reals.
From mathcomp Require Import all_ssreflect.
From BOMRL Require Import FiniteSums.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Local Open Scope R_scope.

Definition kl_prior (a lambda p eps : R) : R :=
  a * eps + lambda * (p * ln (p / (1 - eps * (1 - p))) - (1 - p) * ln eps).

Definition kl_posterior (lambda p : R) : R :=
  - (lambda * ln p).

Definition euclidean (a p t ell A : R) : R :=
  a / (1 + p * exp t - p) + ell * t ^ 2 * (1 - 1 / A).
