(* The vocabulary of all statements (docs/theory.md, sections 0 and 1).

   Nothing is proved here. To believe a theorem of this directory one has to read this file, the definitions at the
   head of FiniteSums.v, Constant.v, and the theorem's statement. *)
From Coq Require Import Reals Lra.
From mathcomp Require Import all_ssreflect.
From BOMRL Require Export FiniteSums.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Local Open Scope R_scope.

(* ---- Markov decision processes --------------------------------------------------------------------------- *)

Record mdp (S A : finType) := MDP {
  P : S -> A -> dist S;
  reward : S -> A -> R;
  start : dist S;
  discount : R;
  discount_ge0 : 0 <= discount;
  discount_lt1 : discount < 1 }.

Definition policy (S A : finType) := S -> dist A.

Section Evaluation.
Variables (S A : finType) (M : mdp S A).

Definition Q (V : S -> R) (s : S) (a : A) : R := reward M s a + discount M * Sum (fun s' => P M s a s' * V s').

(* The Bellman operator T_pi, and the transition matrix of a policy. *)
Definition Tpi (pi : policy S A) (V : S -> R) (s : S) : R := inner (pi s) (Q V s).
Definition Ppi (pi : policy S A) (s s' : S) : R := inner (pi s) (fun a => P M s a s').

(* V is the value of pi. *)
Definition Bellman (pi : policy S A) (V : S -> R) : Prop := forall s, V s = Tpi pi V s.

(* nu is the normalised discounted visitation of pi. *)
Definition Flow (pi : policy S A) (nu : S -> R) : Prop :=
  forall s', nu s' = (1 - discount M) * start M s' + discount M * Sum (fun s => nu s * Ppi pi s s').

Definition J (V : S -> R) : R := Sum (fun s => start M s * V s).

End Evaluation.

(* ---- divergences and adaptation -------------------------------------------------------------------------- *)

(* Where y has full support: 0 log 0 counts 0, as it should. *)
Definition KL (A : finType) (x y : dist A) : R := Sum (fun a => x a * ln (x a / y a)).

Definition TV (A : finType) (x y : dist A) : R := / 2 * Sum (fun a => Rabs (x a - y a)).

(* The squared distance of softmax parameters, free of constant shifts: |u - mean u|^2 with u = log x - log y. *)
Definition centred_square (A : finType) (u : A -> R) : R :=
  Sum (fun a => (u a - Sum u / INR #|A|) ^ 2).
Definition parameter_distance (A : finType) (x y : dist A) : R := centred_square (fun a => ln (x a / y a)).

Inductive algorithm := none | kl_prior | kl_posterior | euclidean | policy_gradient.

(* ---- a case ----------------------------------------------------------------------------------------------- *)

(* A weighted family of tasks, a meta-policy, and one policy of full support for each task: the adapted one. What
   is said of the adapted policies is said by the theorems, not here.

   V_phi, V_star, V_plus, visit_phi, visit_star and visit_plus are no assumptions: they exist and are unique
   (Section0.v), and `build` in Examples.v makes a case without them. *)
Record case (Tasks S A : finType) := Case {
  weight : dist Tasks;
  task : Tasks -> mdp S A;
  common_discount : R;
  discount_is_common : forall tau, discount (task tau) = common_discount;
  regularisation : R;
  regularisation_gt0 : 0 < regularisation;
  method : algorithm;

  meta : policy S A;
  meta_gt0 : forall s a, 0 < meta s a;
  adapted : Tasks -> policy S A;
  adapted_gt0 : forall tau s a, 0 < adapted tau s a;
  best : Tasks -> S -> A;

  V_phi : Tasks -> S -> R;
  V_phi_def : forall tau, Bellman (task tau) meta (V_phi tau);
  V_plus : Tasks -> S -> R;
  V_plus_def : forall tau, Bellman (task tau) (adapted tau) (V_plus tau);
  V_star : Tasks -> S -> R;
  V_star_def : forall tau, Bellman (task tau) (fun s => point (best tau s)) (V_star tau);
  best_is_optimal : forall tau s a, Q (task tau) (V_star tau) s a <= V_star tau s;

  visit_phi : Tasks -> S -> R;
  visit_phi_def : forall tau, Flow (task tau) meta (visit_phi tau);
  visit_plus : Tasks -> S -> R;
  visit_plus_def : forall tau, Flow (task tau) (adapted tau) (visit_plus tau);
  visit_star : Tasks -> S -> R;
  visit_star_def : forall tau, Flow (task tau) (fun s => point (best tau s)) (visit_star tau);

  (* Free parameters of the comparators of Alg(1) and Alg(3). *)
  mixture : Tasks -> S -> R;
  mixture_gt0 : forall tau s, 0 < mixture tau s;
  mixture_le1 : forall tau s, mixture tau s <= 1;
  logit : Tasks -> S -> R;
  logit_ge0 : forall tau s, 0 <= logit tau s;
  logit_unvisited : forall tau s, visit_phi tau s = 0 -> logit tau s = 0 }.
